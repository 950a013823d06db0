//! Makes a transfer in each of the ways.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dsql_conn::{Error, Pool, RetryPolicy, retry};
use futures_util::FutureExt;
use tokio::time::timeout;

use crate::bank::{COLLIDE, OUTCOMES, Transfer};
use crate::journal::{CallResult, Outcome};
use crate::retries::Runs;
use crate::settle::settled;
use crate::usage::Usage;

/// One transfer to make.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) transfer: &'a Transfer,
    pub(crate) runs: Runs<'a>,
    /// When callers who cancel the call do so.
    pub(crate) limit: Duration,
    /// Whether it uses the outcome table.
    pub(crate) is_recorded: bool,
}

/// An error type of the caller, as `transaction_with` allows.
#[derive(Debug)]
enum BodyError {
    OnPurpose,
    Database(Error),
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

    /// The policy of a call that may use the outcome table.
    fn policy(&self) -> RetryPolicy {
        match self.is_recorded {
            true => RetryPolicy::new().outcomes(OUTCOMES),
            false => RetryPolicy::new(),
        }
    }

    async fn plain(&self) -> CallResult {
        let result = self
            .pool
            .transaction_with(self.policy(), async |tx| {
                self.runs.run(self.transfer.book(&tx)).await
            })
            .await;
        settled(self.pool, &result).await
    }

    async fn at_once(&self) -> CallResult {
        let policy = self.policy().max_attempts(30);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_at_once(&tx)).await
            })
            .await;
        settled(self.pool, &result).await
    }

    async fn idempotent(&self) -> CallResult {
        let policy = self.policy().idempotent();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_once(&tx)).await
            })
            .await;
        settled(self.pool, &result).await
    }

    async fn stumbling(&self) -> CallResult {
        let policy = self.policy().idempotent();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book_first(&tx)).await
            })
            .await;
        settled(self.pool, &result).await
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
            .transaction_with(self.policy(), async |tx| {
                self.runs.run(self.transfer.book(&tx)).await?;
                Err(BodyError::OnPurpose)
            })
            .await;
        match result {
            Err(BodyError::OnPurpose) => {
                CallResult::new(Outcome::NotCommitted, "failed by its body")
            }
            Err(BodyError::Database(error)) => settled(self.pool, &Err(error)).await,
            Ok(()) => CallResult::of(&Ok(())),
        }
    }

    async fn swallowing(&self) -> CallResult {
        let result = self
            .pool
            .transaction_with(self.policy(), async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    // Drivers report this mistake as success.
                    let _ = tx.execute(COLLIDE, &[]).await;
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        settled(self.pool, &result).await
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
        let policy = self.policy().timeout(self.limit);
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                self.runs.run(self.transfer.book(&tx)).await
            })
            .await;
        settled(self.pool, &result).await
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
            .transaction_with(self.policy(), async |tx| {
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
        settled(self.pool, &result).await
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
            .transaction_with(self.policy(), async |tx| {
                let body = async {
                    self.transfer.book(&tx).await?;
                    let _ = tx.batch_execute("ROLLBACK").await;
                    Ok(())
                };
                self.runs.run(body).await
            })
            .await;
        settled(self.pool, &result).await
    }
}

impl From<Error> for BodyError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// How often a transfer with a key is repeated.
const KEYED_CALLS: usize = 50;
