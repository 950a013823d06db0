//! Runs a transaction's body once and determines the outcome.
//!
//! The driver's results are not enough: it reports a `COMMIT` that was answered with `ROLLBACK` as
//! a success, and the body may have swallowed an error. So the server's own replies decide, which
//! the connection's watch has recorded.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Client;
use tracing::Instrument;

use super::Transaction;
use super::failed::{Failed, lost};
use super::mode::Mode;
use crate::cause::Cause;
use crate::connection::Connection;
use crate::error::{Error, RollbackCause};
use crate::sqlstate::ServerError;
use crate::telemetry::{COMMIT, ErrorType, Operation};
use crate::wire::{Status, Watch};

/// A transaction from before its `BEGIN` to its end. Dropped in between, it queues a `ROLLBACK`.
pub(super) struct Attempt<'a> {
    connection: &'a mut Connection,
    mode: Mode,
    ended: bool,
}

impl<'a> Attempt<'a> {
    pub(super) fn on(connection: &'a mut Connection, mode: Mode) -> Self {
        Self {
            connection,
            mode,
            ended: false,
        }
    }

    /// Queues `BEGIN`, runs the body, and commits.
    pub(super) async fn run<T, E, F, Fut>(
        mut self,
        body: &F,
        deadline: Instant,
    ) -> Result<T, Failed<T, E>>
    where
        E: From<Error>,
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        self.watch().begin_pipelined();
        // One poll queues `BEGIN`. Its reply is not awaited: the body's first statement is in the
        // same flight, and is refused if `BEGIN` is.
        let begin = match self.mode {
            Mode::ReadOnly => "BEGIN READ ONLY",
            Mode::Plain | Mode::Recorded(..) => "BEGIN",
        };
        drop(self.client().execute_typed(begin, &[]).now_or_never());

        let result = tokio::select! {
            biased;
            result = timeout_at(deadline, body(Transaction::on(self.connection))) => {
                // The body's own query also leaves rows unread for a moment while it reads them.
                // They count only if a statement waits behind them.
                result.map_err(|_| Failed::TimedOut {
                    unread_rows: self.watch().waits_behind_rows(),
                })
            }
            // Without this, a body that waits for something else would notice the closed pool only
            // at its next statement.
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
            // A statement that the body queued and did not await must not run after the COMMIT.
            Ok(_) => self.begun(deadline).await && self.connection.settle().await,
            Err(_) => self.connection.settle().await,
        };
        // Check this first: what the body itself committed must not run again or be reported as
        // rolled back.
        if self.watch().has_ended() && is_settled {
            self.roll_back().await;
            return Err(Error::TransactionEnded.into());
        }
        if !is_settled {
            let unread_rows = self.watch().has_unread_rows();
            self.connection.abort();
            return Err(match result {
                _ if self.may_be_over() => Error::TransactionEnded.into(),
                Ok(_) if has_escaped => Error::TransactionEscaped.into(),
                Ok(_) if Instant::now() >= deadline => Failed::TimedOut { unread_rows },
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
            Ok(value) => self.commit(value, deadline).await,
            Err(error) => Err(self.failed(error).await),
        }
    }

    /// Ends an attempt whose body was interrupted.
    async fn stopped<T, E: From<Error>>(self, failed: Failed<T, E>) -> Failed<T, E> {
        // The body's last statement may be a COMMIT of its own. There is no time to wait for
        // replies.
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

    /// Returns whether the body has ended its transaction, or may have.
    fn may_be_over(&self) -> bool {
        self.watch().has_ended() || self.watch().may_have_committed()
    }

    /// Waits for the reply to `BEGIN` after a body without statements. Returns whether no reply to
    /// it is pending any more; `false` after the deadline.
    async fn begun(&self, deadline: Instant) -> bool {
        let begun = async {
            self.watch().fence().await;
            self.watch().begun().await;
        };
        timeout_at(deadline, begun).await.is_ok()
    }

    async fn commit<T, E: From<Error>>(
        mut self,
        value: T,
        deadline: Instant,
    ) -> Result<T, Failed<T, E>> {
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
        let reply_by = match self.mode {
            Mode::Recorded(table, id) => {
                // One poll queues it. If it is refused, the server answers COMMIT with ROLLBACK.
                drop(
                    self.client()
                        .batch_execute(&table.insert(id))
                        .now_or_never(),
                );
                reply_by(deadline)
            }
            Mode::Plain | Mode::ReadOnly => deadline,
        };
        let operation = Operation::commit(self.connection.server());
        let commit = self.client().batch_execute(COMMIT);
        let reply = timeout_at(reply_by, commit.instrument(operation.span())).await;
        operation.ended(match &reply {
            Ok(reply) => reply.as_ref().err().map(ErrorType::of_driver),
            Err(_) => Some(ErrorType::TIMED_OUT),
        });
        let Ok(reply) = reply else {
            self.connection.abort();
            return Err(self.unknown(value, None));
        };
        let Err(error) = reply else {
            if self.watch().completed_with(COMMIT) {
                self.ended = true;
                return Ok(value);
            }
            return Err(self.rolled_back().await);
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
            false => self.unknown(value, Some(error)),
        })
    }

    /// Returns the failure after the server answered `COMMIT` with `ROLLBACK`, as it does when the
    /// insert into the outcome table failed.
    async fn rolled_back<T, E: From<Error>>(self) -> Failed<T, E> {
        if let Some(conflict) = self.watch().conflict() {
            return self.conflicted(conflict).await;
        }
        let error = match (self.mode, self.watch().failure()) {
            (Mode::Recorded(table, _), Some(failure)) => table.refused(failure),
            _ => Error::RolledBack(RollbackCause::CommitRolledBack),
        };
        self.failed(error.into()).await
    }

    /// Returns the failure of an attempt whose `COMMIT` was sent and has no known outcome. A
    /// read-only transaction changed nothing in any case.
    fn unknown<T, E: From<Error>>(
        &self,
        value: T,
        source: Option<tokio_postgres::Error>,
    ) -> Failed<T, E> {
        match self.mode {
            Mode::ReadOnly => lost(Error::RolledBack(RollbackCause::ConnectionLost)),
            Mode::Plain | Mode::Recorded(..) => Failed::Unknown { value, source },
        }
    }

    async fn conflicted<T, E>(mut self, error: ServerError) -> Failed<T, E> {
        Failed::Conflict {
            cause: Cause::in_transaction(&error).unwrap_or(Cause::Data),
            error,
            reusable: self.roll_back().await,
        }
    }

    /// Rolls back. The failure is transient if the server's first error is.
    async fn failed<T, E>(mut self, error: E) -> Failed<T, E> {
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

    /// Returns the failure of an attempt whose connection is closed, after the body has returned.
    fn closed<T, E: From<Error>>(self, result: Result<(), E>) -> Failed<T, E> {
        let watch = self.watch();
        if !self.is_lost() {
            return Error::TransactionEnded.into();
        }
        // This side closed the connection: after a failed COPY, or a statement that timed out. A
        // closing pool does so, too, but then the next checkout reports it.
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

    /// Returns whether the connection is closed and nothing was sent that may have committed.
    fn is_lost(&self) -> bool {
        self.connection.is_closed() && !self.watch().may_have_committed()
    }

    /// Rolls back what is still open, and returns whether the connection may serve another attempt.
    ///
    /// The error of a rollback is ignored: it means that the connection is lost, and the
    /// transaction ends with it.
    async fn roll_back(&mut self) -> bool {
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

    /// Returns the driver's client, which has no statement timeout: `BEGIN`, `COMMIT` and
    /// `ROLLBACK` have deadlines of their own.
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
            // Statements of the other handle would run outside of the transaction.
            true => self.connection.abort(),
            false => drop(self.client().batch_execute("ROLLBACK").now_or_never()),
        }
    }
}

/// Returns when to stop waiting for the reply to a `COMMIT` that can be settled. The rest of the
/// time is for settling it, and for another attempt.
fn reply_by(deadline: Instant) -> Instant {
    let now = Instant::now();
    let left = deadline.saturating_duration_since(now);
    now + (left / 2).min(COMMIT_TIMEOUT)
}

/// A `COMMIT` takes some milliseconds, or some hundred milliseconds between Regions.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);
