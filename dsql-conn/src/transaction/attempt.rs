//! Runs a transaction's body once and finds out what became of it.
//!
//! What the driver returns is not enough to know: it reports a `COMMIT` that was answered with `ROLLBACK` as a success, and
//! the body may have kept a failure to itself. So the server's own answers decide, as the connection's watch has seen them.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};

use super::Transaction;
use crate::{
    error::Error,
    outcome::is_refused,
    pool::PooledConnection,
    retry::Cause,
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
    /// For good.
    For(E),
    /// The deadline passed before `COMMIT` was sent.
    InTime,
    /// Another transaction won. With the connection for the next attempt, if it is still good.
    ByConflict(Conflict, Option<Arc<PooledConnection>>),
    /// By what another attempt may be spared, and the error if there is none.
    ByChance(Cause, E, Option<Arc<PooledConnection>>),
}

impl Attempt {
    pub(super) fn on(connection: Arc<PooledConnection>) -> Self {
        Self {
            connection,
            ended: false,
        }
    }

    /// Runs `BEGIN`, the body and `COMMIT`.
    pub(super) async fn run<T, E, F, Fut>(
        mut self,
        body: &F,
        deadline: Instant,
    ) -> Result<T, Failed<E>>
    where
        E: From<Error>,
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.watch().begin();
        let begun = timeout_at(deadline, self.connection.batch_execute("BEGIN")).await;
        if let Err(error) = begun.map_err(|_| Failed::InTime)? {
            return Err(match self.watch().conflict() {
                Some(conflict) => self.lost_to(conflict).await,
                None if self.is_lost() => lost(Error::Query(error)),
                None => self.doomed_by(Error::Query(error).into()).await,
            });
        }

        let body = body(Transaction {
            connection: Arc::clone(&self.connection),
        });
        // Dropping the attempt rolls back what a body that ran out of time left, or cuts the connection.
        let result = tokio::select! {
            biased;
            result = timeout_at(deadline, body) => result.map_err(|_| Failed::InTime)?,
            // A body that waits for something else would learn of it only by its next statement.
            () = self.connection.cut_off() => return Err(lost(Error::PoolClosed)),
        };

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
                Ok(_) => rolled_back("a statement of it was still running").into(),
                Err(error) => Failed::For(error),
            });
        }
        if self.watch().has_ended() {
            // Before anything else: what the body committed must not be run again, whatever it met since.
            self.roll_back().await;
            return Err(Error::TransactionEnded.into());
        }
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.lost_to(conflict).await);
        }
        if self.watch().is_closed() {
            if !self.is_lost() {
                return Err(Error::TransactionEnded.into());
            }
            return Err(match result {
                Ok(_) => lost(rolled_back(
                    "the connection was lost before COMMIT was sent",
                )),
                Err(error) => Failed::ByChance(Cause::Lost, error, None),
            });
        }
        match result {
            Ok(value) => self.commit(deadline).await.map(|()| value),
            Err(error) => Err(self.doomed_by(error).await),
        }
    }

    async fn commit<E: From<Error>>(self, deadline: Instant) -> Result<(), Failed<E>> {
        if self.watch().status() != Status::Open {
            let failure = self.watch().failure();
            let failure = failure.map(|failure| format!("{} {}", failure.code, failure.message));
            let error = rolled_back(failure.unwrap_or_default()).into();
            return Err(self.doomed_by(error).await);
        }

        if Instant::now() >= deadline {
            return Err(Failed::InTime);
        }
        self.watch().begin();
        let Ok(answer) = timeout_at(deadline, self.connection.batch_execute("COMMIT")).await else {
            self.connection.abort();
            return Err(unknown(None));
        };
        let Err(error) = answer else {
            let is_committed = self.watch().completed("COMMIT");
            self.end();
            return match is_committed {
                true => Ok(()),
                false => Err(rolled_back("the server answered COMMIT with ROLLBACK").into()),
            };
        };
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.lost_to(conflict).await);
        }
        if self.is_lost() {
            return Err(lost(Error::Query(error)));
        }
        self.roll_back().await;
        Err(match is_refused(&error) {
            true => Error::Query(error).into(),
            false => unknown(Some(error)),
        })
    }

    /// Gives way to the transaction that won.
    async fn lost_to<E>(self, conflict: Conflict) -> Failed<E> {
        Failed::ByConflict(conflict, self.roll_back().await)
    }

    /// Rolls back because of an error, which the server may have an excuse for.
    async fn doomed_by<E>(self, error: E) -> Failed<E> {
        let failure = self.watch().failure();
        let cause = failure.and_then(|failure| Cause::of_failure(&failure.code, &failure.message));
        let connection = self.roll_back().await;
        match cause {
            Some(cause) => Failed::ByChance(cause, error, connection),
            None => Failed::For(error),
        }
    }

    /// Whether the connection is gone and nothing was sent that may have committed the transaction.
    fn is_lost(&self) -> bool {
        self.connection.is_closed() && !self.watch().may_have_committed()
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

fn lost<E: From<Error>>(error: Error) -> Failed<E> {
    Failed::ByChance(Cause::Lost, error.into(), None)
}

fn unknown<E: From<Error>>(source: Option<tokio_postgres::Error>) -> Failed<E> {
    Failed::ByChance(Cause::Unknown, Error::CommitUnknown { source }.into(), None)
}

fn rolled_back(failure: impl Into<String>) -> Error {
    let failure = failure.into();
    Error::RolledBack { failure }
}
