//! Runs a transaction until it commits, fails, or its attempts are used up.

use std::future::pending;
use std::ops::{ControlFlow, Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument;

use super::Transaction;
use super::attempt::Attempt;
use super::failed::Failed;
use super::mode::Mode;
use crate::backoff::Backoff;
use crate::cause::Cause;
use crate::connection::{Connection, Opener};
use crate::error::{Error, RollbackCause};
use crate::outcomes::{Outcome, OutcomeId};
use crate::pool::{Pool, PooledConnection};
use crate::reason::Reason;
use crate::retry::RetryPolicy;
use crate::telemetry::{Observed, Server, event};

/// Where the connections of a transaction come from.
pub(super) trait Source: Sync {
    type Connection: DerefMut<Target = Connection> + Send;

    /// Returns a connection for the next attempt. `None` if there is no other.
    fn connection(
        &mut self,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Self::Connection>, Error>> + Send;

    /// A connection to settle a lost commit on.
    type Other: Deref<Target = Connection> + Send;

    /// Returns another connection, to settle a lost commit.
    fn other(&self, within: Duration) -> impl Future<Output = Result<Self::Other, Error>> + Send;

    /// Counts an attempt that did not commit.
    fn met(&self, cause: Cause);

    /// Counts a `COMMIT` whose reply was lost, and how it was settled, if it was.
    fn commit_lost(&self, id: Option<OutcomeId>, settled: Option<Outcome>);

    /// Returns the attributes of the home Region's server.
    fn server(&self) -> &Server;

    fn is_closed(&self) -> bool;

    /// Returns once the source closes.
    fn closed(&self) -> impl Future<Output = ()> + Send;
}

pub(super) async fn run<S, T, E, F, Fut>(source: S, policy: RetryPolicy, body: F) -> Result<T, E>
where
    S: Source,
    E: From<Error>,
    F: Fn(Transaction) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut observed = Observed::of(source.server());
    let span = observed.span();
    let result = run_observed(source, policy, body, &mut observed)
        .instrument(span)
        .await;
    observed.ended(result.is_ok());
    result
}

async fn run_observed<S, T, E, F, Fut>(
    mut source: S,
    policy: RetryPolicy,
    body: F,
    observed: &mut Observed,
) -> Result<T, E>
where
    S: Source,
    E: From<Error>,
    F: Fn(Transaction) -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut attempts = policy.start();
    let mut kept = None;
    let mut last = None;
    // An unknown outcome stays unknown, whatever later attempts do.
    let mut unknown = None;
    let error = loop {
        // Keep the connection while it is usable. After a schema conflict its session knows the
        // change; another session would meet the conflict again.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => match (source.connection(attempts.left()).await, last.take()) {
                (Ok(Some(connection)), _) => connection,
                (Ok(None), Some(error)) => break error,
                (Ok(None), None) => break Error::PoolClosed.into(),
                (Err(error), _) => break error.into(),
            },
        };
        if let Err(discard) = connection.check_before_begin(attempts.deadline()).await {
            break Error::Discarded(discard).into();
        }
        let mode = Mode::of(policy, || connection.now().wall);
        observed.attempt_begins(attempts.made(), connection.server());
        let attempt = Attempt::on(&mut connection, mode).run(&body, attempts.deadline());
        let result = attempt.await;
        observed.attempt_ended(result.as_ref().err().map(Failed::unfinished));
        let (cause, error, reusable) = match result {
            Ok(value) => return Ok(value),
            Err(Failed::Permanent(error)) => break error,
            Err(Failed::Unknown {
                value,
                source: lost,
            }) => {
                // Settling needs a connection, and this one may take the pool's only slot.
                drop(connection);
                let id = mode.id();
                let unknown = Error::CommitUnknown { source: lost, id };
                let settled = settle(&source, mode, attempts.deadline()).await;
                source.commit_lost(id, settled);
                if settled.is_none() {
                    observed.stays_unknown();
                }
                match settled {
                    Some(Outcome::Committed) => return Ok(value),
                    Some(Outcome::RolledBack) => {
                        let error = Error::RolledBack(RollbackCause::CommitLost);
                        (Cause::CommitLost, error.into(), None)
                    }
                    // The caller can settle the transaction later. Until then it must not run
                    // again.
                    None if id.is_some() => break unknown.into(),
                    None => (Cause::Unknown, unknown.into(), None),
                }
            }
            Err(Failed::TimedOut { unread_rows }) => {
                let error = Error::TransactionTimedOut {
                    after: attempts.elapsed(),
                    attempts: attempts.made(),
                    unread_rows,
                };
                break error.into();
            }
            Err(Failed::Conflict {
                error,
                cause,
                reusable,
            }) => {
                let error = Error::Conflict {
                    attempts: attempts.made(),
                    last: error,
                };
                (cause, error.into(), reusable.then_some(connection))
            }
            Err(Failed::Transient {
                cause,
                error,
                reusable,
            }) => (cause, error, reusable.then_some(connection)),
        };
        kept = reusable;
        source.met(cause);
        let again = tokio::select! {
            biased;
            again = attempts.back_off(cause) => again,
            () = source.closed() => ControlFlow::Continue(()),
        };
        if again.is_break() {
            break error;
        }
        match cause {
            Cause::Unknown if unknown.is_none() => unknown = Some(error),
            _ => last = Some(error),
        }
        if source.is_closed() {
            // Drop the connection, so that the next checkout reports the closed pool.
            kept = None;
        }
    };
    Err(unknown.unwrap_or(error))
}

/// Settles a lost commit by the outcome table, on one connection after another until the deadline.
/// Returns `None` if that failed, or if there is no table.
async fn settle<S: Source>(source: &S, mode: Mode, deadline: Instant) -> Option<Outcome> {
    let Mode::Recorded(table, id) = mode else {
        return None;
    };
    let settled = timeout_at(deadline, async {
        for tried in 1.. {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match source.other(left).await {
                Ok(connection) => match table.settle(&connection, id).await {
                    Ok(outcome) => return Some(outcome),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            event::not_settled_yet(id, &error);
            if !is_transient(&error) {
                return None;
            }
            sleep(SETTLE_AGAIN.delay(tried, rand::random())).await;
        }
        None
    });
    settled.await.ok().flatten()
}

/// Returns whether another connection may settle what this one could not.
fn is_transient(error: &Error) -> bool {
    match error {
        Error::PoolClosed | Error::OutcomeTable(..) | Error::OutcomeExpired(_) => false,
        _ => error.reason().is_none_or(Reason::is_transient),
    }
}

/// The delays between attempts to settle a lost commit.
const SETTLE_AGAIN: Backoff = Backoff {
    base: Duration::from_millis(20),
    cap: Duration::from_secs(1),
};

/// The pool's connections.
impl Source for &Pool {
    type Connection = PooledConnection;

    async fn connection(&mut self, within: Duration) -> Result<Option<PooledConnection>, Error> {
        self.get_within(within).await.map(Some)
    }

    type Other = PooledConnection;

    async fn other(&self, within: Duration) -> Result<PooledConnection, Error> {
        self.get_within(within).await
    }

    fn met(&self, cause: Cause) {
        Pool::met(self, cause);
    }

    fn commit_lost(&self, id: Option<OutcomeId>, settled: Option<Outcome>) {
        Pool::commit_lost(self, id, settled);
    }

    fn server(&self) -> &Server {
        Pool::server(self)
    }

    fn is_closed(&self) -> bool {
        Pool::is_closed(self)
    }

    async fn closed(&self) {
        Pool::closed(self).await;
    }
}

/// A single connection of the caller. Lost commits are settled on a new one.
pub(super) struct Single<'a> {
    connection: Option<&'a mut Connection>,
    opener: Arc<Opener>,
}

impl<'a> Single<'a> {
    pub(super) fn new(connection: &'a mut Connection) -> Self {
        let opener = Arc::clone(connection.opener());
        Self {
            connection: Some(connection),
            opener,
        }
    }
}

impl<'a> Source for Single<'a> {
    type Connection = &'a mut Connection;

    async fn connection(&mut self, _within: Duration) -> Result<Option<&'a mut Connection>, Error> {
        Ok(self.connection.take())
    }

    type Other = Box<Connection>;

    async fn other(&self, _within: Duration) -> Result<Box<Connection>, Error> {
        Ok(Box::new(self.opener.open_alone().await?))
    }

    fn met(&self, cause: Cause) {
        self.opener.meter().met(cause);
    }

    fn commit_lost(&self, id: Option<OutcomeId>, settled: Option<Outcome>) {
        self.opener.meter().commit_lost(id, settled);
    }

    fn server(&self) -> &Server {
        self.opener.home_server()
    }

    fn is_closed(&self) -> bool {
        false
    }

    async fn closed(&self) {
        pending().await
    }
}
