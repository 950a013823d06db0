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

    /// Queues `BEGIN`, and runs the body and `COMMIT`.
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
        self.watch().open();
        // One poll queues it, and nobody waits for it: the body's first statement joins it, and is refused with it.
        drop(self.connection.execute_typed("BEGIN", &[]).now_or_never());

        let body = body(Transaction {
            connection: Arc::clone(&self.connection),
        });
        let result = tokio::select! {
            biased;
            result = timeout_at(deadline, body) => result.map_err(|_| Failed::InTime),
            // A body that waits for something else would learn of it only by its next statement.
            () = self.connection.cut_off() => Err(lost_by(Error::PoolClosed)),
        };
        let result = match result {
            Ok(result) => result,
            Err(failed) => return Err(self.stopped(failed).await),
        };

        let has_escaped = self.has_escaped();
        let is_settled = match &result {
            _ if has_escaped => false,
            // What the body queued and did not await must not slip in behind the COMMIT.
            Ok(_) => self.opened(deadline).await && self.connection.settle().await,
            Err(_) => self.connection.settle().await,
        };
        // Before anything else: what the body committed must not be run again, nor be called rolled back.
        if self.watch().has_ended() && is_settled {
            self.roll_back().await;
            return Err(Error::TransactionEnded.into());
        }
        if !is_settled {
            self.connection.abort();
            return Err(match result {
                _ if self.may_be_over() => Error::TransactionEnded.into(),
                Ok(_) if has_escaped => Error::TransactionEscaped.into(),
                Ok(_) if Instant::now() >= deadline => Failed::InTime,
                Ok(_) => rolled_back("a statement of its body was still running").into(),
                Err(error) => Failed::For(error),
            });
        }
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.lost_to(conflict).await);
        }
        if self.watch().is_closed() {
            if !self.is_lost() {
                return Err(Error::TransactionEnded.into());
            }
            return Err(match result {
                Err(error) if self.watch().is_derailed() => Failed::For(error),
                Err(error) => Failed::ByChance(Cause::Lost, error, None),
                Ok(_) => lost_by(rolled_back(LOST_BEFORE_COMMIT)),
            });
        }
        match result {
            Ok(value) => self.commit(deadline).await.map(|()| value),
            Err(error) => Err(self.doomed_by(error).await),
        }
    }

    /// Ends an attempt whose body was stopped.
    async fn stopped<E: From<Error>>(mut self, failed: Failed<E>) -> Failed<E> {
        // What the body queued last may be a COMMIT of its own. There is no time to wait for answers.
        let is_settled = !self.has_escaped()
            && self.connection.sent().await
            && self.watch().settled().now_or_never().is_some();
        if !is_settled {
            self.connection.abort();
        }
        match self.may_be_over() {
            true => Error::TransactionEnded.into(),
            // Dropping the attempt rolls back.
            false => failed,
        }
    }

    /// Whether the body has ended its transaction, or may have.
    fn may_be_over(&self) -> bool {
        self.watch().has_ended() || self.watch().may_have_committed()
    }

    /// Waits for the answer to `BEGIN` behind a body without a statement, for as long as a statement might take. Returns whether it
    /// may have come.
    async fn opened(&self, deadline: Instant) -> bool {
        let opened = async {
            if self.connection.sent().await {
                self.watch().opened().await;
            }
        };
        timeout_at(deadline, opened).await.is_ok()
    }

    async fn commit<E: From<Error>>(self, deadline: Instant) -> Result<(), Failed<E>> {
        if self.watch().status() != Status::Open {
            let failure = self.watch().failure();
            let failure = failure.map(|failure| format!("{} {}", failure.code, failure.message));
            let error = rolled_back(format!(
                "a statement failed although the body returned Ok, {}; return the errors of statements from the body",
                failure.unwrap_or_default()
            ))
            .into();
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
            let failure = format!("{LOST_BEFORE_COMMIT}: {}", Error::Query(error));
            return Err(lost_by(rolled_back(failure)));
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

fn lost_by<E: From<Error>>(error: Error) -> Failed<E> {
    Failed::ByChance(Cause::Lost, error.into(), None)
}

fn unknown<E: From<Error>>(source: Option<tokio_postgres::Error>) -> Failed<E> {
    Failed::ByChance(Cause::Unknown, Error::CommitUnknown { source }.into(), None)
}

fn rolled_back(failure: impl Into<String>) -> Error {
    let failure = failure.into();
    Error::RolledBack { failure }
}

const LOST_BEFORE_COMMIT: &str = "the connection was lost before COMMIT was sent";
