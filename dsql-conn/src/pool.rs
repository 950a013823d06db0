//! Lends connections: fairly, without a round trip when warm, and with the true cause when there are none.

mod builder;
mod shared;

use std::{
    fmt,
    future::poll_fn,
    ops::{Deref, DerefMut},
    pin::pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, SystemTime},
};

use bb8::RunError;
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use crate::{
    backoff::Backoff,
    config::{Config, FOREVER},
    connection::Connection,
    error::{ConnectError, Error},
    manager::{ConnectionManager, Dialer},
    retry::Cause,
};

pub use builder::Builder;

/// A pool of connections to one cluster as one user. Cheap to clone; clones share the connections.
///
/// ```no_run
/// # async fn example() -> Result<(), dsql_conn::Error> {
/// use dsql_conn::{Config, Pool};
///
/// let pool = Pool::connect(Config::from_env()?).await?;
/// let games = pool.get().await?.query("SELECT title FROM games", &[]).await?;
/// # Ok(())
/// # }
/// ```
///
/// What a checkout promises:
///
/// - It is fair: who asks first is served first.
/// - A connection that was used lately is lent without a round trip. One that was idle for
///   [`Config::ping_after`] is asked for a sign of life, one past its lifetime is replaced.
/// - A connection with a transaction left open, or with a statement still running, is not lent again.
/// - If no connection can be opened and trying again would not help, it fails at once and says why.
///
/// A pool belongs to the runtime of its first checkout, whose tasks drive its connections: make another one for another
/// runtime.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

/// What the clones of a pool share.
struct Shared {
    /// Made at the first checkout, because bb8 starts a task for idle connections and needs a runtime for that.
    connections: OnceLock<bb8::Pool<ConnectionManager>>,
    settings: Builder,
    /// One permit for each connection that may be lent. bb8 alone lets newcomers overtake those who wait.
    permits: Arc<Semaphore>,
    dialer: Arc<Dialer>,
    met: Met,
}

/// How often transactions were kept from committing, by cause.
#[derive(Default)]
struct Met {
    data_conflicts: AtomicU64,
    schema_conflicts: AtomicU64,
    lost_connections: AtomicU64,
    unknown_commits: AtomicU64,
}

/// A connection on loan. Dropping it gives it back.
pub struct PooledConnection {
    // In this order: who gets the place next must find the connection in the pool.
    connection: bb8::PooledConnection<'static, ConnectionManager>,
    place: Place,
}

/// How a pool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many connections there may be at most.
    pub max_size: u32,
    /// How many are open.
    pub connections: u32,
    /// How many of those are not lent.
    pub idle: u32,
    /// How many were opened so far.
    pub opened: u64,
    /// How many could not be opened so far.
    pub failed: u64,
    /// How many of those opened have been closed since: lost, old, left dirty, silent or idle for too long.
    pub closed: u64,
    /// How many attempts at a transaction so far lost to another writer (OC000).
    pub data_conflicts: u64,
    /// How many attempts at a transaction so far met a schema that had changed (OC001).
    pub schema_conflicts: u64,
    /// How many attempts at a transaction so far lost their connection before `COMMIT`.
    pub lost_connections: u64,
    /// How many `COMMIT`s so far were sent and never answered.
    pub unknown_commits: u64,
}

impl Pool {
    /// Lends a connection, within [`Config::checkout_timeout`].
    ///
    /// # Errors
    ///
    /// - [`Error::Connect`] if none could be opened, trying again would not help and none is open; within the time that one
    ///   attempt takes.
    /// - [`Error::CheckoutTimeout`] if the time passed; with the cause if none could be opened meanwhile, without one if all are in use.
    /// - [`Error::PoolClosed`] after [`Pool::close`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue and nothing else.
    pub async fn get(&self) -> Result<PooledConnection, Error> {
        self.checkout(self.config().checkout_timeout).await
    }

    /// Lends a connection, until `deadline` by the wall clock. For a Lambda: the invocation's deadline less the time that the
    /// answer needs.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`].
    ///
    /// # Cancel safety
    ///
    /// That of [`Pool::get`].
    pub async fn get_by(&self, deadline: SystemTime) -> Result<PooledConnection, Error> {
        let left = deadline.duration_since(self.config().now());
        self.checkout(left.unwrap_or_default()).await
    }

    /// Closes the pool: whoever waits is told so, idle connections are closed, lent ones when they come back. A transaction under way
    /// goes on, and is not begun again.
    ///
    /// Returns once all are closed, at the latest after `patience`: then the ones still lent are cut off, and what was under way on
    /// them is told so. Those that came back just before have a tenth of a second to take their leave. Returns how many were cut off.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the pool closed and lent connections to their borrowers.
    pub async fn close(&self, patience: Duration) -> usize {
        self.0.permits.close();
        self.0.dialer.close();
        let drivers = &self.0.dialer.connector.drivers;
        let all_ended = async {
            // More than once: a dial that had just come to its end may leave a connection behind.
            loop {
                self.drop_idle().await;
                if timeout(DRAIN_INTERVAL, drivers.ended()).await.is_ok() {
                    return;
                }
            }
        };
        if timeout(patience, all_ended).await.is_ok() {
            return 0;
        }
        let cut = drivers.abort();
        drivers.ended().await;
        cut
    }

    /// Returns how the pool stands.
    pub fn stats(&self) -> Stats {
        let (connections, idle) = match self.0.connections.get().map(bb8::Pool::state) {
            Some(state) => (state.connections, state.idle_connections),
            None => (0, 0),
        };
        let opened = self.0.dialer.opened();
        let met = &self.0.met;
        Stats {
            max_size: self.0.settings.max_size,
            connections,
            idle,
            opened,
            failed: self.0.dialer.failures(),
            // One may be counted as opened that bb8 does not hold yet, or no longer, for a moment.
            closed: opened.saturating_sub(connections.into()),
            data_conflicts: met.data_conflicts.load(Ordering::Relaxed),
            schema_conflicts: met.schema_conflicts.load(Ordering::Relaxed),
            lost_connections: met.lost_connections.load(Ordering::Relaxed),
            unknown_commits: met.unknown_commits.load(Ordering::Relaxed),
        }
    }

    /// Counts what kept an attempt at a transaction from committing.
    pub(crate) fn met(&self, cause: Cause) {
        let met = &self.0.met;
        let count = match cause {
            Cause::Data => &met.data_conflicts,
            Cause::Schema => &met.schema_conflicts,
            Cause::Lost => &met.lost_connections,
            Cause::Unknown => &met.unknown_commits,
            Cause::Outdated | Cause::Unavailable => return,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns once the pool closes.
    pub(crate) async fn closed(&self) {
        let mut dialing = self.0.dialer.watch();
        // Cannot fail: the sender is here.
        let _ = dialing.wait_for(|outcome| outcome.closed).await;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.permits.is_closed()
    }

    /// Lends a connection as [`get`](Self::get) does, and not for longer than `most`.
    pub(crate) async fn get_within(&self, most: Duration) -> Result<PooledConnection, Error> {
        self.checkout(self.config().checkout_timeout.min(most))
            .await
    }

    /// Makes bb8 pop every idle connection: each is found unfit in turn, all within one poll.
    async fn drop_idle(&self) {
        let Some(connections) = self.0.connections.get() else {
            return;
        };
        let mut popping = pin!(connections.get());
        poll_fn(|cx| {
            let _ = popping.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    async fn checkout(&self, patience: Duration) -> Result<PooledConnection, Error> {
        let mut patience = Patience::of(patience);
        let permits = Arc::clone(&self.0.permits);
        let permit = match permits.try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return Err(Error::PoolClosed),
            Err(TryAcquireError::NoPermits) => {
                // A place may be held by a dial that a freeze has left behind.
                self.0.dialer.end_overdue();
                let permits = Arc::clone(&self.0.permits);
                match timeout_at(patience.deadline(), permits.acquire_owned()).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) => return Err(Error::PoolClosed),
                    Err(_) => return Err(patience.exhausted(self.0.dialer.trouble())),
                }
            }
        };
        self.lend(permit, patience).await
    }

    /// Takes a connection from bb8, and watches the dials, whose failures bb8 does not report to those who wait.
    async fn lend(
        &self,
        permit: OwnedSemaphorePermit,
        mut patience: Patience,
    ) -> Result<PooledConnection, Error> {
        // Read before anything is dialed, so that no failure from here on is missed.
        let mut seen = self.0.dialer.failures();
        let mut getting = pin!(self.connections().get_owned());
        let mut turns = 0..1;
        let at_once = poll_fn(|cx| match getting.as_mut().poll(cx) {
            Poll::Pending if turns.next().is_some() && is_single_threaded() => {
                // A driver's turn is mostly all that there is to wait for, and comes before the next one of this task: sooner
                // than it takes to begin to watch the dials and the clock.
                patience.started();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => Poll::Ready(polled),
        });
        if let Poll::Ready(result) = at_once.await {
            return self.lent(result, permit, &mut patience, None);
        }

        self.0.dialer.end_overdue();
        let mut dialing = self.0.dialer.watch();
        let deadline = patience.deadline();
        let mut redial = pin!(sleep_until(deadline));
        let mut failed = 0;
        let mut cause: Option<ConnectError> = None;
        loop {
            tokio::select! {
                biased;
                result = getting.as_mut() => {
                    return self.lent(result, permit, &mut patience, cause);
                }
                Ok(outcome) = dialing.wait_for(|outcome| outcome.closed || outcome.failures > seen) => {
                    if outcome.closed {
                        return Err(Error::PoolClosed);
                    }
                    seen = outcome.failures;
                    cause.clone_from(&outcome.last_failure);
                    drop(outcome);
                    if let Some(error) = &cause
                        && !error.reason().is_transient()
                        && self.connections().state().connections == 0
                    {
                        return Err(error.clone().into());
                    }
                    failed += 1;
                    let delay = REDIAL.delay(failed, rand::random());
                    redial.as_mut().reset(deadline.min(Instant::now() + delay));
                }
                () = redial.as_mut() => {
                    if Instant::now() >= deadline {
                        return Err(patience.exhausted(Some(self.hindrance(cause))));
                    }
                    // bb8 dials for those who begin to wait, and not again for those who wait already.
                    getting.set(self.connections().get_owned());
                    // Once more in a while: the place of the dial that failed may not have been free yet.
                    redial.as_mut().reset(deadline.min(Instant::now() + REDIAL.cap));
                }
            }
        }
    }

    fn lent(
        &self,
        result: Result<bb8::PooledConnection<'static, ConnectionManager>, RunError<Error>>,
        permit: OwnedSemaphorePermit,
        patience: &mut Patience,
        cause: Option<ConnectError>,
    ) -> Result<PooledConnection, Error> {
        match result {
            Ok(connection) => Ok(PooledConnection {
                connection,
                place: Place {
                    pool: self.clone(),
                    permit: Some(permit),
                    needs_successor: false,
                },
            }),
            Err(RunError::User(error)) => Err(error),
            Err(RunError::TimedOut) => Err(patience.exhausted(Some(self.hindrance(cause)))),
        }
    }

    /// Why there is no connection for somebody who has a place: the latest that is known.
    fn hindrance(&self, failed: Option<ConnectError>) -> ConnectError {
        let dialer = &self.0.dialer;
        let known = dialer.trouble().or(failed);
        known.unwrap_or_else(|| dialer.unfinished())
    }

    fn connections(&self) -> &bb8::Pool<ConnectionManager> {
        let Shared {
            connections,
            settings,
            dialer,
            ..
        } = &*self.0;
        connections.get_or_init(|| settings.bb8(ConnectionManager::sharing(dialer)))
    }

    fn config(&self) -> &Config {
        &self.0.dialer.connector.config
    }
}

/// One of the places that a pool has for connections, given up with the connection that held it.
struct Place {
    pool: Pool,
    permit: Option<OwnedSemaphorePermit>,
    needs_successor: bool,
}

impl Drop for Place {
    /// Where a connection came to its age, the next one is opened before somebody asks for it, and holds the place meanwhile.
    fn drop(&mut self) {
        if !self.needs_successor || self.pool.0.permits.is_closed() {
            return;
        }
        let (pool, permit) = (self.pool.clone(), self.permit.take());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                // A failure is published like any other.
                if let Ok(connection) = pool.0.dialer.dial().await {
                    let _ = pool.connections().add(connection);
                }
                drop(permit);
            });
        }
    }
}

impl PooledConnection {
    /// Returns once the pool has closed and cuts off what is still lent.
    pub(crate) async fn cut_off(&self) {
        self.place.pool.0.dialer.connector.drivers.cut_off().await;
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        self.place.needs_successor = self.connection.comes_back();
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for PooledConnection {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("config", self.config())
            .field("max_size", &self.0.settings.max_size)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// For how long somebody waits. The time runs from the first look at it: who is served at once reads no clock.
struct Patience {
    most: Duration,
    started: Option<Instant>,
}

impl Patience {
    fn of(most: Duration) -> Self {
        Self {
            most,
            started: None,
        }
    }

    fn started(&mut self) -> Instant {
        *self.started.get_or_insert_with(Instant::now)
    }

    fn deadline(&mut self) -> Instant {
        self.started() + self.most.min(FOREVER)
    }

    fn exhausted(&mut self, cause: Option<ConnectError>) -> Error {
        Error::CheckoutTimeout {
            waited: self.started().elapsed(),
            cause,
        }
    }
}

/// Whether this runtime has one queue for all its tasks. Where there are more, a driver's turn is taken by the same thread right
/// after this one, and a yield would be behind everything else.
fn is_single_threaded() -> bool {
    let runtime = Handle::try_current();
    runtime.is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// How fast one waiter causes dials while they fail.
const REDIAL: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(2),
};

/// How often a pool that closes looks for connections that came back.
const DRAIN_INTERVAL: Duration = Duration::from_millis(10);
