//! The ways to make a transfer: correct uses of a transaction, and misuses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dsql_conn::{Error, Pool, RetryPolicy, retry};
use futures_util::FutureExt;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::timeout;

use crate::bank::{COLLIDE, Transfer};
use crate::journal::{CallResult, Outcome};
use crate::retries::Runs;

/// A way to make a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    /// One statement after the other.
    Plain,
    /// As many concurrent statements as possible, and more attempts at conflicts.
    AtOnce,
    /// With a unique key and an idempotent policy.
    Idempotent,
    /// With a unique key that makes a second attempt fail, and an idempotent policy.
    Stumbling,
    /// With a unique key, by a caller who repeats the call until the outcome is known.
    Keyed,
    /// A single statement without a transaction that adds a ledger row. It is lost if the
    /// connection still has another user's open transaction.
    Single,
    /// The body writes, then returns an error of its own.
    Refusing,
    /// The body ignores the error of a statement.
    Swallowing,
    /// The caller cancels the call after a while.
    Impatient,
    /// The policy has a short deadline.
    Hurried,
    /// By hand on a connection that is returned with its transaction open.
    Abandoning,
    /// A single statement, right after a connection was returned with `BEGIN` in the driver's
    /// queue.
    Beginning,
    /// The body leaks its handle, which then tries to commit.
    Escaping,
    /// The body itself commits, so it must not be retried.
    Committing,
    /// The body itself rolls back.
    RollingBack,
}

/// One transfer to make.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) transfer: &'a Transfer,
    pub(crate) runs: Runs<'a>,
    /// When callers who cancel the call do so.
    pub(crate) limit: Duration,
}

/// An error type of the caller, as `transaction_with` allows.
#[derive(Debug)]
enum BodyError {
    OnPurpose,
    Database(Error),
}

impl Usage {
    /// Draws one; correct uses are more frequent.
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        let mut drawn = rng.random_range(0..WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (usage, weight) in WEIGHTS {
            if drawn < weight {
                return usage;
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
    /// Tries to make the transfer, and returns the result.
    pub(crate) async fn make(&self, usage: Usage) -> CallResult {
        match usage {
            Usage::Plain => self.plain().await,
            Usage::AtOnce => self.at_once().await,
            Usage::Idempotent => self.idempotent().await,
            Usage::Stumbling => self.stumbling().await,
            Usage::Keyed => self.keyed().await,
            Usage::Single => self.single().await,
            Usage::Refusing => self.refusing().await,
            Usage::Swallowing => self.swallowing().await,
            Usage::Impatient => self.impatient().await,
            Usage::Hurried => self.hurried().await,
            Usage::Abandoning => self.abandoning().await,
            Usage::Beginning => self.beginning().await,
            Usage::Escaping => self.escaping().await,
            Usage::Committing => self.committing().await,
            Usage::RollingBack => self.rolling_back().await,
        }
    }

    async fn plain(&self) -> CallResult {
        let result = self
            .pool
            .transaction(async |tx| self.runs.run(self.transfer.book(&tx)).await)
            .await;
        CallResult::of(&result)
    }

    async fn at_once(&self) -> CallResult {
        let policy = RetryPolicy::new().max_attempts(30);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_at_once(&tx)).await
            })
            .await;
        CallResult::of(&result)
    }

    async fn idempotent(&self) -> CallResult {
        let policy = RetryPolicy::new().idempotent();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_once(&tx)).await
            })
            .await;
        CallResult::of(&result)
    }

    async fn stumbling(&self) -> CallResult {
        let policy = RetryPolicy::new().idempotent();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_first(&tx)).await
            })
            .await;
        CallResult::of(&result)
    }

    /// Repeats the call by hand: the key makes a second attempt harmless if the first was applied.
    async fn keyed(&self) -> CallResult {
        let mut is_doubtful = false;
        for _ in 0..KEYED_CALLS {
            let result = self
                .pool
                .transaction(async |tx| self.runs.run(self.transfer.book_once(&tx)).await)
                .await;
            let answer = CallResult::of(&result);
            match answer.outcome {
                Outcome::Unknown => is_doubtful = true,
                Outcome::Committed if is_doubtful => {
                    return CallResult::new(Outcome::Committed, "committed, proved by its key");
                }
                // The failure of a later attempt does not tell whether the first one was applied.
                Outcome::NotCommitted if is_doubtful => {}
                _ => return answer,
            }
        }
        CallResult::new(Outcome::Unknown, "still unknown by its key")
    }

    async fn single(&self) -> CallResult {
        let result = retry(RetryPolicy::new(), async || {
            let connection = self.pool.get().await?;
            self.runs.run(self.transfer.record(&connection)).await
        })
        .await;
        match &result {
            Err(error) if error.may_have_applied() => {
                CallResult::new(Outcome::Unknown, "single statement lost")
            }
            _ => CallResult::of(&result),
        }
    }

    async fn refusing(&self) -> CallResult {
        let result = self
            .pool
            .transaction_with(RetryPolicy::default(), async |tx| {
                self.runs.run(self.transfer.book(&tx)).await?;
                Err(BodyError::OnPurpose)
            })
            .await;
        match result {
            Err(BodyError::OnPurpose) => {
                CallResult::new(Outcome::NotCommitted, "failed by its body")
            }
            Err(BodyError::Database(error)) => CallResult::of(&Err(error)),
            Ok(()) => CallResult::of(&Ok(())),
        }
    }

    async fn swallowing(&self) -> CallResult {
        let result = self
            .pool
            .transaction(async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    // Drivers report this mistake as success.
                    let _ = tx.execute(COLLIDE, &[]).await;
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        CallResult::of(&result)
    }

    async fn impatient(&self) -> CallResult {
        let call = self
            .pool
            .transaction(async |tx| self.runs.run(self.transfer.book(&tx)).await);
        match timeout(self.limit, call).await {
            Ok(result) => CallResult::of(&result),
            Err(_) if self.runs.may_commit() => {
                CallResult::new(Outcome::Unknown, "cancelled after its body")
            }
            Err(_) => CallResult::new(Outcome::NotCommitted, "cancelled in its body"),
        }
    }

    async fn hurried(&self) -> CallResult {
        let policy = RetryPolicy::new().timeout(self.limit);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book(&tx)).await
            })
            .await;
        CallResult::of(&result)
    }

    async fn abandoning(&self) -> CallResult {
        let by_hand = async {
            let connection = self.pool.get().await?;
            connection.batch_execute("BEGIN").await?;
            self.transfer.book(&connection).await
        };
        let kind = match timeout(self.limit, by_hand).await {
            Ok(Ok(())) => "abandoned after its statements",
            Ok(Err(_)) => "abandoned after a failure",
            Err(_) => "abandoned in between",
        };
        CallResult::new(Outcome::NotCommitted, kind)
    }

    async fn beginning(&self) -> CallResult {
        if let Ok(connection) = self.pool.get().await {
            let _ = connection.batch_execute("BEGIN").now_or_never();
        }
        // At once, before the driver sends it.
        self.single().await
    }

    async fn escaping(&self) -> CallResult {
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
        CallResult::of(&result)
    }

    async fn committing(&self) -> CallResult {
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
            (Err(Error::TransactionEnded), _) => {
                CallResult::new(Outcome::Unknown, "ended by its body")
            }
            (Err(_), true) => CallResult::new(Outcome::Unknown, "its body's own COMMIT failed"),
            (result, _) => CallResult::of(&result),
        }
    }

    async fn rolling_back(&self) -> CallResult {
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
        CallResult::of(&result)
    }
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// The relative frequency of each.
const WEIGHTS: [(Usage, u32); 15] = [
    (Usage::Plain, 30),
    (Usage::Stumbling, 4),
    (Usage::AtOnce, 15),
    (Usage::Idempotent, 10),
    (Usage::Keyed, 4),
    (Usage::Single, 8),
    (Usage::Refusing, 5),
    (Usage::Swallowing, 5),
    (Usage::Impatient, 6),
    (Usage::Hurried, 2),
    (Usage::Abandoning, 2),
    (Usage::Beginning, 3),
    (Usage::Escaping, 2),
    (Usage::Committing, 2),
    (Usage::RollingBack, 2),
];

/// How often a transfer with a key is repeated.
const KEYED_CALLS: usize = 50;
