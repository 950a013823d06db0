//! The manners in which a transfer is made: how a transaction is used, and how it is misused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dsql_conn::{Error, Pool, RetryPolicy, retry};
use futures_util::FutureExt;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::timeout;

use crate::bank::{COLLIDE, Transfer};
use crate::journal::{Answer, Told};
use crate::retries::Runs;

/// How a transfer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// One statement after the other.
    Plain,
    /// As many statements at once as can be, and more patience with conflicts.
    AtOnce,
    /// Under a key, by a policy that says so.
    Idempotent,
    /// Under a key that a second run stumbles over, by a policy that says that it changes nothing
    /// then.
    Stumbling,
    /// Under a key, by a caller who asks again until the outcome is known.
    Keyed,
    /// A row in the ledger and no money, by one statement without a transaction. It is lost if
    /// another borrower's transaction is open on its connection.
    Single,
    /// The body writes, and then returns an error of its own.
    Refusing,
    /// The body keeps the failure of a statement to itself.
    Swallowing,
    /// The caller drops the call after a while.
    Impatient,
    /// The policy allows little time.
    Hurried,
    /// By hand on a connection that is given back with the transaction open.
    Abandoning,
    /// By a single statement, just after a connection was given back with a `BEGIN` in the driver's
    /// queue.
    Beginning,
    /// The body lets its handle out, which then tries to commit.
    Escaping,
    /// The body commits itself, which must not be run again.
    Committing,
    /// The body rolls back itself.
    RollingBack,
}

/// One transfer that is to be made.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) transfer: &'a Transfer,
    pub(crate) runs: Runs<'a>,
    /// How long it is waited for, by those who do not wait for the end.
    pub(crate) patience: Duration,
}

/// An error type of the caller's, as `transaction_with` allows.
#[derive(Debug)]
enum BodyError {
    OnPurpose,
    Database(Error),
}

impl Manner {
    /// Draws a manner, the usual ones more often.
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        let mut drawn = rng.random_range(0..WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (manner, weight) in WEIGHTS {
            if drawn < weight {
                return manner;
            }
            drawn -= weight;
        }
        Self::Plain
    }

    pub(crate) fn moves_money(self) -> bool {
        !matches!(self, Self::Single | Self::Beginning)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AtOnce => "at once",
            Self::Idempotent => "idempotent",
            Self::Stumbling => "stumbling",
            Self::Keyed => "keyed",
            Self::Single => "single",
            Self::Refusing => "refusing",
            Self::Swallowing => "swallowing",
            Self::Impatient => "impatient",
            Self::Hurried => "hurried",
            Self::Abandoning => "abandoning",
            Self::Beginning => "beginning",
            Self::Escaping => "escaping",
            Self::Committing => "committing",
            Self::RollingBack => "rolling back",
        }
    }
}

impl Call<'_> {
    /// Makes the transfer, or tries to, and returns what it was told.
    pub(crate) async fn make(&self, manner: Manner) -> Answer {
        match manner {
            Manner::Plain => self.plain().await,
            Manner::AtOnce => self.at_once().await,
            Manner::Idempotent => self.idempotent().await,
            Manner::Stumbling => self.stumbling().await,
            Manner::Keyed => self.keyed().await,
            Manner::Single => self.single().await,
            Manner::Refusing => self.refusing().await,
            Manner::Swallowing => self.swallowing().await,
            Manner::Impatient => self.impatient().await,
            Manner::Hurried => self.hurried().await,
            Manner::Abandoning => self.abandoning().await,
            Manner::Beginning => self.beginning().await,
            Manner::Escaping => self.escaping().await,
            Manner::Committing => self.committing().await,
            Manner::RollingBack => self.rolling_back().await,
        }
    }

    async fn plain(&self) -> Answer {
        let result = self
            .pool
            .transaction(async |tx| self.runs.run(self.transfer.book(&tx)).await)
            .await;
        Answer::of(&result)
    }

    async fn at_once(&self) -> Answer {
        let policy = RetryPolicy::new().max_attempts(30);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_at_once(&tx)).await
            })
            .await;
        Answer::of(&result)
    }

    async fn idempotent(&self) -> Answer {
        let policy = RetryPolicy::new().idempotent();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_once(&tx)).await
            })
            .await;
        Answer::of(&result)
    }

    async fn stumbling(&self) -> Answer {
        let policy = RetryPolicy::new().idempotent();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_first(&tx)).await
            })
            .await;
        Answer::of(&result)
    }

    /// Asks again by hand: the key makes a second run harmless, if the first one was applied.
    async fn keyed(&self) -> Answer {
        let mut is_doubtful = false;
        for _ in 0..KEYED_CALLS {
            let result = self
                .pool
                .transaction(async |tx| self.runs.run(self.transfer.book_once(&tx)).await)
                .await;
            let answer = Answer::of(&result);
            match answer.told {
                Told::Unknown => is_doubtful = true,
                Told::Committed if is_doubtful => {
                    return Answer::new(Told::Committed, "committed, found out by its key");
                }
                // What a failed run says of itself, it does not say of the one in doubt.
                Told::NotCommitted if is_doubtful => {}
                _ => return answer,
            }
        }
        Answer::new(Told::Unknown, "still unknown by its key")
    }

    async fn single(&self) -> Answer {
        let result = retry(RetryPolicy::new(), async || {
            let connection = self.pool.get().await?;
            self.runs.run(self.transfer.record(&connection)).await
        })
        .await;
        match &result {
            Err(error) if error.may_have_applied() => {
                Answer::new(Told::Unknown, "single statement lost")
            }
            _ => Answer::of(&result),
        }
    }

    async fn refusing(&self) -> Answer {
        let result = self
            .pool
            .transaction_with(RetryPolicy::default(), async |tx| {
                self.runs.run(self.transfer.book(&tx)).await?;
                Err(BodyError::OnPurpose)
            })
            .await;
        match result {
            Err(BodyError::OnPurpose) => Answer::new(Told::NotCommitted, "refused by its body"),
            Err(BodyError::Database(error)) => Answer::of(&Err(error)),
            Ok(()) => Answer::of(&Ok(())),
        }
    }

    async fn swallowing(&self) -> Answer {
        let result = self
            .pool
            .transaction(async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    // The mistake that drivers answer with a success.
                    let _ = tx.execute(COLLIDE, &[]).await;
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        Answer::of(&result)
    }

    async fn impatient(&self) -> Answer {
        let call = self
            .pool
            .transaction(async |tx| self.runs.run(self.transfer.book(&tx)).await);
        match timeout(self.patience, call).await {
            Ok(result) => Answer::of(&result),
            Err(_) if self.runs.may_commit() => {
                Answer::new(Told::Unknown, "dropped after its body")
            }
            Err(_) => Answer::new(Told::NotCommitted, "dropped in its body"),
        }
    }

    async fn hurried(&self) -> Answer {
        let policy = RetryPolicy::new().timeout(self.patience);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book(&tx)).await
            })
            .await;
        Answer::of(&result)
    }

    async fn abandoning(&self) -> Answer {
        let by_hand = async {
            let connection = self.pool.get().await?;
            connection.batch_execute("BEGIN").await?;
            self.transfer.book(&connection).await
        };
        let kind = match timeout(self.patience, by_hand).await {
            Ok(Ok(())) => "abandoned after its statements",
            Ok(Err(_)) => "abandoned after a failure",
            Err(_) => "abandoned in between",
        };
        Answer::new(Told::NotCommitted, kind)
    }

    async fn beginning(&self) -> Answer {
        if let Ok(connection) = self.pool.get().await {
            let _ = connection.batch_execute("BEGIN").now_or_never();
        }
        // At once, before the driver had a chance to send it.
        self.single().await
    }

    async fn escaping(&self) -> Answer {
        let handle = Mutex::new(None);
        let result = self
            .pool
            .transaction(async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(tx.clone());
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        let handle = handle.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handle {
            let _ = handle.batch_execute("COMMIT").await;
        }
        Answer::of(&result)
    }

    async fn committing(&self) -> Answer {
        let sent = AtomicBool::new(false);
        let result = self
            .pool
            .transaction(async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    sent.store(true, Ordering::Relaxed);
                    tx.batch_execute("COMMIT").await?;
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        match (result, sent.into_inner()) {
            (Err(Error::TransactionEnded), _) => Answer::new(Told::Unknown, "ended by its body"),
            (Err(_), true) => Answer::new(Told::Unknown, "its body's own COMMIT failed"),
            (result, _) => Answer::of(&result),
        }
    }

    async fn rolling_back(&self) -> Answer {
        let result = self
            .pool
            .transaction(async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    let _ = tx.batch_execute("ROLLBACK").await;
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        Answer::of(&result)
    }
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// How often each manner comes, among all.
const WEIGHTS: [(Manner, u32); 15] = [
    (Manner::Plain, 30),
    (Manner::Stumbling, 4),
    (Manner::AtOnce, 15),
    (Manner::Idempotent, 10),
    (Manner::Keyed, 4),
    (Manner::Single, 8),
    (Manner::Refusing, 5),
    (Manner::Swallowing, 5),
    (Manner::Impatient, 6),
    (Manner::Hurried, 2),
    (Manner::Abandoning, 2),
    (Manner::Beginning, 3),
    (Manner::Escaping, 2),
    (Manner::Committing, 2),
    (Manner::RollingBack, 2),
];

/// How often a keyed transfer is asked for.
const KEYED_CALLS: usize = 50;
