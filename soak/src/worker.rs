//! A worker: transfers one after the other, in every manner in which a transaction is used or misused.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use dsql_conn::{Connection, Error, Pool, RetryPolicy};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::time::timeout;

use crate::{
    bank::{COLLIDE, Opening, Transfer},
    floor::{Floor, Step},
    journal::{Answer, Entry, Told},
    retries::{Retries, Runs},
};

/// What a worker needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) pool: Pool,
    pub(crate) opening: Opening,
    pub(crate) seed: u64,
    pub(crate) floor: Arc<Floor>,
    pub(crate) retries: Arc<Retries>,
}

/// How a transfer is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// One statement after the other.
    Plain,
    /// As many statements at once as can be, and more patience with conflicts.
    AtOnce,
    /// Under a key, again and again until the outcome is known.
    Keyed,
    /// The body writes, and then returns an error of its own.
    Refusing,
    /// The body keeps the failure of a statement to itself.
    Swallowing,
    /// The caller drops the call after a while.
    Impatient,
    /// By hand on a connection that is given back with the transaction open.
    Abandoning,
    /// The body lets its handle out, which then tries to commit.
    Escaping,
}

/// An error type of the caller's, as `transaction_with` allows.
#[derive(Debug)]
enum BodyError {
    OnPurpose,
    Database(Error),
}

impl Worker {
    /// Works until the floor closes, and returns the journal.
    pub(crate) async fn work(self) -> Vec<Entry> {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(self.number as u64));
        let mut journal = Vec::new();
        // The upper half of the number is the worker's.
        let first = (self.number as i64) << 32;
        for id in first.. {
            if self.floor.is_closing() {
                break;
            }
            let transfer = self.draw(id, &mut rng);
            let manner = Manner::draw(&mut rng);
            self.floor.stand(self.number).takes(id, manner.name());
            let patience = Duration::from_micros(rng.random_range(0..30_000));
            let answer = self.make(&transfer, manner, patience).await;
            self.floor.answered(answer.told == Told::Committed);
            self.floor.stand(self.number).at(Step::Between);
            journal.push(Entry { transfer, answer });
        }
        journal
    }

    fn draw(&self, id: i64, rng: &mut StdRng) -> Transfer {
        let accounts = self.opening.accounts;
        let from = rng.random_range(1..=accounts);
        let others = rng.random_range(1..accounts);
        Transfer {
            id,
            from,
            to: (from + others - 1) % accounts + 1,
            amount: rng.random_range(1..=100),
        }
    }

    async fn make(&self, transfer: &Transfer, manner: Manner, patience: Duration) -> Answer {
        let runs = Runs::of(&self.retries, self.floor.stand(self.number));
        match manner {
            Manner::Plain => self.plain(transfer, &runs).await,
            Manner::AtOnce => self.at_once(transfer, &runs).await,
            Manner::Keyed => self.keyed(transfer, &runs).await,
            Manner::Refusing => self.refusing(transfer, &runs).await,
            Manner::Swallowing => self.swallowing(transfer, &runs).await,
            Manner::Impatient => self.impatient(transfer, &runs, patience).await,
            Manner::Abandoning => self.abandoning(transfer, patience).await,
            Manner::Escaping => self.escaping(transfer, &runs).await,
        }
    }

    async fn plain(&self, transfer: &Transfer, runs: &Runs<'_>) -> Answer {
        let result = self
            .pool
            .transaction(async |tx| runs.run(transfer.book(&tx)).await)
            .await;
        Answer::of(&result)
    }

    async fn at_once(&self, transfer: &Transfer, runs: &Runs<'_>) -> Answer {
        let policy = RetryPolicy::new().attempts(30);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                runs.run(transfer.book_at_once(&tx)).await
            })
            .await;
        Answer::of(&result)
    }

    /// Asks again by hand: the key makes a second run harmless, if the first one was applied.
    async fn keyed(&self, transfer: &Transfer, runs: &Runs<'_>) -> Answer {
        let mut is_doubtful = false;
        for _ in 0..KEYED_CALLS {
            let result = self
                .pool
                .transaction(async |tx| runs.run(transfer.book_once(&tx)).await)
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

    async fn refusing(&self, transfer: &Transfer, runs: &Runs<'_>) -> Answer {
        let result = self
            .pool
            .transaction_with(RetryPolicy::default(), async |tx| {
                runs.run(transfer.book(&tx)).await?;
                Err(BodyError::OnPurpose)
            })
            .await;
        match result {
            Err(BodyError::OnPurpose) => Answer::new(Told::NotCommitted, "refused by its body"),
            Err(BodyError::Database(error)) => Answer::of(&Err(error)),
            Ok(()) => Answer::of(&Ok(())),
        }
    }

    async fn swallowing(&self, transfer: &Transfer, runs: &Runs<'_>) -> Answer {
        let result = self
            .pool
            .transaction(async |tx| {
                runs.run(async {
                    transfer.book(&tx).await?;
                    // The mistake that drivers answer with a success.
                    let _ = tx.execute(COLLIDE, &[]).await;
                    Ok(())
                })
                .await
            })
            .await;
        Answer::of(&result)
    }

    async fn impatient(&self, transfer: &Transfer, runs: &Runs<'_>, patience: Duration) -> Answer {
        let call = self
            .pool
            .transaction(async |tx| runs.run(transfer.book(&tx)).await);
        match timeout(patience, call).await {
            Ok(result) => Answer::of(&result),
            Err(_) if runs.may_commit() => Answer::new(Told::Unknown, "dropped after its body"),
            Err(_) => Answer::new(Told::NotCommitted, "dropped in its body"),
        }
    }

    async fn abandoning(&self, transfer: &Transfer, patience: Duration) -> Answer {
        let by_hand = async {
            let connection = self.pool.get().await?;
            connection.batch_execute("BEGIN").await?;
            transfer.book(&connection).await
        };
        let kind = match timeout(patience, by_hand).await {
            Ok(Ok(())) => "abandoned after its statements",
            Ok(Err(_)) => "abandoned after a failure",
            Err(_) => "abandoned in between",
        };
        Answer::new(Told::NotCommitted, kind)
    }

    async fn escaping(&self, transfer: &Transfer, runs: &Runs<'_>) -> Answer {
        let handle = Mutex::new(None);
        let result = self
            .pool
            .transaction(async |tx| {
                runs.run(async {
                    transfer.book(&tx).await?;
                    *handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(tx.clone());
                    Ok(())
                })
                .await
            })
            .await;
        let handle = handle.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = handle {
            commit(&handle).await;
        }
        Answer::of(&result)
    }
}

/// Tries to commit through a handle that should be dead.
async fn commit(escaped: &Connection) {
    let _ = escaped.batch_execute("COMMIT").await;
}

impl Manner {
    fn draw(rng: &mut StdRng) -> Self {
        let mut drawn = rng.random_range(0..WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (manner, weight) in WEIGHTS {
            if drawn < weight {
                return manner;
            }
            drawn -= weight;
        }
        Self::Plain
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::AtOnce => "at once",
            Self::Keyed => "keyed",
            Self::Refusing => "refusing",
            Self::Swallowing => "swallowing",
            Self::Impatient => "impatient",
            Self::Abandoning => "abandoning",
            Self::Escaping => "escaping",
        }
    }
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// How often each manner comes, among all.
const WEIGHTS: [(Manner, u32); 8] = [
    (Manner::Plain, 40),
    (Manner::AtOnce, 16),
    (Manner::Keyed, 16),
    (Manner::Refusing, 7),
    (Manner::Swallowing, 7),
    (Manner::Impatient, 8),
    (Manner::Abandoning, 3),
    (Manner::Escaping, 3),
];

/// How often a keyed transfer is asked for.
const KEYED_CALLS: usize = 50;
