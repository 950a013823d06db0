//! Runs a transaction's body once and finds out what became of it.
//!
//! The driver's results are not enough: it reports a `COMMIT` that was answered with `ROLLBACK` as
//! a success, and the body may have swallowed an error. So the server's own replies decide, as the
//! connection's watch has seen them.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;

use super::Transaction;
use crate::connection::Connection;
use crate::error::{Error, RollbackCause};
use crate::retry::Cause;
use crate::sqlstate::ServerError;
use crate::wire::{Status, Watch};

/// A transaction from before its `BEGIN` to its end. Dropped in between, it queues a `ROLLBACK`.
pub(super) struct Attempt<'a> {
    connection: &'a mut Connection,
    ended: bool,
}

/// Why an attempt did not commit.
pub(super) enum Failed<E> {
    /// Permanent.
    Permanent(E),
    /// The deadline passed before `COMMIT` was sent.
    TimedOut { unread_rows: bool },
    /// A conflict with another transaction. Nothing was applied.
    Conflict {
        error: ServerError,
        cause: Cause,
        /// Whether the connection may serve the next attempt.
        reusable: bool,
    },
    /// Transient. Carries the error to return when attempts run out.
    Transient {
        cause: Cause,
        error: E,
        reusable: bool,
    },
}

impl<'a> Attempt<'a> {
    pub(super) fn on(connection: &'a mut Connection) -> Self {
        Self {
            connection,
            ended: false,
        }
    }

    /// Queues `BEGIN`, runs the body, and commits.
    pub(super) async fn run<T, E, F, Fut>(self, body: &F, deadline: Instant) -> Result<T, Failed<E>>
    where
        E: From<Error>,
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.watch().begin_pipelined();
        // One poll queues it. Nobody waits for its reply: the body's first statement shares its
        // flight, and is refused with it.
        drop(self.client().execute_typed("BEGIN", &[]).now_or_never());

        let result = tokio::select! {
            biased;
            result = timeout_at(deadline, body(Transaction::on(self.connection))) => {
                result.map_err(|_| Failed::TimedOut {
                    unread_rows: self.watch().has_unread_rows(),
                })
            }
            // A body that waits for something else would notice only at its next statement.
            () = self.connection.opener().cut_off().cancelled() => {
                Err(lost(Error::PoolClosed))
            }
        };
        let result = match result {
            Ok(result) => result,
            Err(failed) => return Err(self.stopped(failed).await),
        };

        let has_escaped = self.connection.is_shared();
        let is_settled = match &result {
            _ if has_escaped => false,
            // What the body queued and did not await must not slip in behind the COMMIT.
            Ok(_) => self.begun(deadline).await && self.connection.settle().await,
            Err(_) => self.connection.settle().await,
        };
        // First of all: what the body committed must not run again, nor be called rolled back.
        if self.watch().has_ended() && is_settled {
            self.roll_back().await;
            return Err(Error::TransactionEnded.into());
        }
        if !is_settled {
            self.connection.abort();
            return Err(match result {
                _ if self.may_be_over() => Error::TransactionEnded.into(),
                Ok(_) if has_escaped => Error::TransactionEscaped.into(),
                Ok(_) if Instant::now() >= deadline => Failed::TimedOut {
                    unread_rows: self.watch().has_unread_rows(),
                },
                Ok(_) => Error::RolledBack(RollbackCause::StatementPending).into(),
                Err(error) => Failed::Permanent(error),
            });
        }
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.conflicted(conflict).await);
        }
        if self.watch().is_closed() {
            return Err(self.closed(result.map(drop)));
        }
        match result {
            Ok(value) => self.commit(deadline).await.map(|()| value),
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// Ends an attempt whose body was interrupted.
    async fn stopped<E: From<Error>>(self, failed: Failed<E>) -> Failed<E> {
        // The body may have queued a COMMIT of its own last. There is no time to wait for replies.
        let is_settled =
            !self.connection.is_shared() && self.connection.settle_within(Duration::ZERO).await;
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

    /// Waits for the reply to `BEGIN` after a body without statements, as long as a statement might
    /// take. Returns whether it may have come.
    async fn begun(&self, deadline: Instant) -> bool {
        let begun = async {
            self.watch().fence().await;
            self.watch().begun().await;
        };
        timeout_at(deadline, begun).await.is_ok()
    }

    async fn commit<E: From<Error>>(mut self, deadline: Instant) -> Result<(), Failed<E>> {
        if self.watch().status() != Status::Open {
            let cause = match self.watch().failure() {
                Some(failure) => RollbackCause::StatementFailed(failure),
                None => RollbackCause::CommitRolledBack,
            };
            return Err(self.failed(Error::RolledBack(cause).into()).await);
        }
        if Instant::now() >= deadline {
            return Err(Failed::TimedOut { unread_rows: false });
        }
        self.watch().observe_commit();
        let commit = self.client().batch_execute("COMMIT");
        let Ok(reply) = timeout_at(deadline, commit).await else {
            self.connection.abort();
            return Err(unknown(None));
        };
        let Err(error) = reply else {
            let is_committed = self.watch().completed_with("COMMIT");
            self.ended = true;
            return match is_committed {
                true => Ok(()),
                false => Err(Error::RolledBack(RollbackCause::CommitRolledBack).into()),
            };
        };
        if let Some(conflict) = self.watch().conflict() {
            return Err(self.conflicted(conflict).await);
        }
        if self.is_lost() {
            return Err(lost(Error::RolledBack(RollbackCause::ConnectionLost)));
        }
        self.roll_back().await;
        let refused = ServerError::of(&error).is_some_and(|e| e.meaning().excludes_applied());
        Err(match refused {
            true => Error::Query(error).into(),
            false => unknown(Some(error)),
        })
    }

    async fn conflicted<E>(self, error: ServerError) -> Failed<E> {
        Failed::Conflict {
            cause: Cause::in_transaction(&error).unwrap_or(Cause::Data),
            error,
            reusable: self.roll_back().await,
        }
    }

    /// Rolls back. Transient if the server's first error says so.
    async fn failed<E>(self, error: E) -> Failed<E> {
        let failure = self.watch().failure();
        let cause = failure.as_ref().and_then(Cause::in_transaction);
        let reusable = self.roll_back().await;
        match cause {
            Some(cause) => Failed::Transient {
                cause,
                error,
                reusable,
            },
            None => Failed::Permanent(error),
        }
    }

    /// The connection is closed and the body has returned.
    fn closed<E: From<Error>>(self, result: Result<(), E>) -> Failed<E> {
        let watch = self.watch();
        if !self.is_lost() {
            return Error::TransactionEnded.into();
        }
        // This side closed it: after a COPY that failed, or a statement that timed out. A pool that
        // closes does so, too, and its next checkout reports that.
        let pool_closed = self.connection.opener().cut_off().is_cancelled();
        let closed_here = watch.is_out_of_step() || watch.was_aborted() && !pool_closed;
        match result {
            Err(error) if closed_here => Failed::Permanent(error),
            Err(error) => Failed::Transient {
                cause: Cause::Lost,
                error,
                reusable: false,
            },
            Ok(()) if closed_here => Error::RolledBack(match watch.failure() {
                Some(failure) => RollbackCause::StatementFailed(failure),
                None => RollbackCause::StatementPending,
            })
            .into(),
            Ok(()) => lost(Error::RolledBack(RollbackCause::ConnectionLost)),
        }
    }

    /// Whether the connection is closed and nothing was sent that may have committed.
    fn is_lost(&self) -> bool {
        self.connection.is_closed() && !self.watch().may_have_committed()
    }

    /// Rolls back what is still open, and returns whether the connection may serve another attempt.
    ///
    /// The error of a rollback adds nothing: the connection is lost then, and the transaction too.
    async fn roll_back(mut self) -> bool {
        if self.connection.settle().await && self.watch().status() != Status::Idle {
            drop(self.client().batch_execute("ROLLBACK").now_or_never());
            self.connection.settle_own().await;
        }
        self.ended = true;
        self.watch().status() == Status::Idle
            && self.watch().is_settled()
            && !self.watch().is_closed()
    }

    fn watch(&self) -> &Watch {
        self.connection.watch()
    }

    /// The driver's client: `BEGIN`, `COMMIT` and `ROLLBACK` have deadlines of their own.
    fn client(&self) -> &Client {
        self.connection
    }
}

impl Drop for Attempt<'_> {
    /// A body that was dropped or panicked must not leave its transaction to the next user of the
    /// connection. One poll queues the `ROLLBACK`; the next checkout waits for its reply.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        match self.connection.is_shared() {
            // The owner of the handle would continue outside of the transaction.
            true => self.connection.abort(),
            false => drop(self.client().batch_execute("ROLLBACK").now_or_never()),
        }
    }
}

impl<E: From<Error>> From<Error> for Failed<E> {
    fn from(error: Error) -> Self {
        Self::Permanent(error.into())
    }
}

fn lost<E: From<Error>>(error: Error) -> Failed<E> {
    Failed::Transient {
        cause: Cause::Lost,
        error: error.into(),
        reusable: false,
    }
}

fn unknown<E: From<Error>>(source: Option<tokio_postgres::Error>) -> Failed<E> {
    Failed::Transient {
        cause: Cause::Unknown,
        error: Error::CommitUnknown { source }.into(),
        reusable: false,
    }
}
