//! Runs a transaction's body once and finds out what became of it.
//!
//! What the driver returns is not enough to know: it reports a `COMMIT` that was answered with `ROLLBACK` as a success, and
//! the body may have kept a failure to itself. So the server's own answers decide, as the connection's watch has seen them.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio_postgres::error::SqlState;

use super::Transaction;
use crate::{
    error::Error,
    pool::PooledConnection,
    wire::{Conflict, Status, Watch},
};

/// A transaction from before its `BEGIN` to its end. Dropped in between, it leaves a `ROLLBACK` behind.
pub(super) struct Attempt {
    /// Shared with the body's handles while the body runs.
    connection: Arc<PooledConnection>,
    ended: bool,
}

/// Why an attempt did not commit.
pub(super) enum Failed<E> {
    /// Another transaction won. With the connection for the next attempt, if it is still good.
    ByConflict(Conflict, Option<Arc<PooledConnection>>),
    /// For good.
    For(E),
}

impl Attempt {
    pub(super) fn on(connection: Arc<PooledConnection>) -> Self {
        Self {
            connection,
            ended: false,
        }
    }

    /// Runs `BEGIN`, the body and `COMMIT`.
    pub(super) async fn run<T, E, F, Fut>(mut self, body: &F) -> Result<T, Failed<E>>
    where
        E: From<Error>,
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.watch().begin();
        if let Err(error) = self.connection.batch_execute("BEGIN").await {
            return Err(match self.watch().conflict() {
                Some(conflict) => self.lost(conflict).await,
                None => Error::Query(error).into(),
            });
        }

        let result = body(Transaction {
            connection: Arc::clone(&self.connection),
        })
        .await;

        if self.has_escaped() {
            // Dropping the attempt cuts the connection.
            return Err(match result {
                Ok(_) => Error::TransactionEscaped.into(),
                Err(error) => Failed::For(error),
            });
        }
        // What the body queued and did not await must not slip in behind the COMMIT.
        if !self.connection.settle().await {
            self.connection.abort();
            return Err(match result {
                Ok(_) => rolled_back("a statement of it was still running"),
                Err(error) => Failed::For(error),
            });
        }
        if self.watch().has_ended() {
            // Before anything else: what the body committed must not be run again, whatever it met since.
            self.roll_back().await;
            return Err(Error::TransactionEnded.into());
        }
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.lost(conflict).await);
        }
        match result {
            Ok(value) => self.commit().await.map(|()| value),
            Err(error) => {
                self.roll_back().await;
                Err(Failed::For(error))
            }
        }
    }

    async fn commit<E: From<Error>>(self) -> Result<(), Failed<E>> {
        if self.watch().is_closed() {
            return Err(rolled_back(
                "the connection was lost before COMMIT was sent",
            ));
        }
        if self.watch().status() != Status::Open {
            let failure = self.watch().failure().unwrap_or_default();
            self.roll_back().await;
            return Err(rolled_back(failure));
        }

        self.watch().begin();
        let Err(error) = self.connection.batch_execute("COMMIT").await else {
            let is_committed = self.watch().completed("COMMIT");
            self.end();
            return match is_committed {
                true => Ok(()),
                false => Err(rolled_back("the server answered COMMIT with ROLLBACK")),
            };
        };
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.lost(conflict).await);
        }
        let is_refused = is_refusal(&error) && !self.watch().is_closed();
        self.roll_back().await;
        Err(match is_refused {
            true => Error::Query(error),
            false => Error::CommitUnknown { source: error },
        }
        .into())
    }

    /// Gives way to the transaction that won.
    async fn lost<E>(self, conflict: Conflict) -> Failed<E> {
        Failed::ByConflict(conflict, self.roll_back().await)
    }

    /// Rolls back what is still open, and returns the connection if it is good for another attempt.
    ///
    /// A rollback that fails is no news: the connection is lost then, and the transaction with it.
    async fn roll_back(self) -> Option<Arc<PooledConnection>> {
        if self.connection.settle().await && self.watch().status() != Status::Idle {
            let _ = self.connection.batch_execute("ROLLBACK").now_or_never();
            self.connection.settle().await;
        }
        let is_good = self.watch().status() == Status::Idle && !self.watch().is_closed();
        let connection = self.end();
        is_good.then_some(connection)
    }

    /// Takes the connection out of a transaction that has ended.
    fn end(mut self) -> Arc<PooledConnection> {
        self.ended = true;
        Arc::clone(&self.connection)
    }

    /// Whether a handle outlived the body.
    fn has_escaped(&mut self) -> bool {
        Arc::get_mut(&mut self.connection).is_none()
    }

    fn watch(&self) -> &Watch {
        self.connection.watch()
    }
}

impl Drop for Attempt {
    /// A body that was dropped or panicked must not leave its transaction to the next borrower. One poll queues the
    /// statement; the next checkout waits for its answer.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        match self.has_escaped() {
            // Whoever holds the handle would go on outside of the transaction.
            true => self.connection.abort(),
            false => drop(self.connection.batch_execute("ROLLBACK").now_or_never()),
        }
    }
}

impl<E: From<Error>> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::For(error.into())
    }
}

fn rolled_back<E: From<Error>>(failure: impl Into<String>) -> Failed<E> {
    let failure = failure.into();
    Error::RolledBack { failure }.into()
}

/// Whether the server refused a `COMMIT` in a way that leaves no doubt that nothing was applied.
///
/// Anything else leaves it open: a lost connection, SQLSTATE classes for connections, operators and systems, 40003, and
/// `XX000 server unavailable`, after which the connection lives on:
/// [troubleshooting](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html).
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    const REFUSING: [&str; 10] = ["0A", "22", "23", "25", "40", "42", "44", "53", "54", "55"];
    error.code().is_some_and(|state| {
        let is_refusing = REFUSING.iter().any(|class| state.code().starts_with(class));
        is_refusing && *state != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
    })
}
