//! A pool of connections: fair, without a round trip when warm, and with specific errors.

mod builder;
mod checkout;
mod handover;
mod lock;
mod maintenance;
mod opening;
mod pooled;
mod release;
mod shared;
mod slots;
mod stats;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::builder::Builder;
pub use self::pooled::PooledConnection;
use self::slots::Slots;
pub use self::stats::{ClosedBy, FailedAttempts, Stats};
use crate::cause::Cause;
use crate::connection::Opener;
use crate::error::{Discard, Error};
use crate::outcomes::{Outcome, OutcomeId};
use crate::retry::RetryPolicy;
use crate::telemetry::{Meter, Population, Server};

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
/// A checkout promises:
///
/// - Fairness: first come, first served, also while connections are being opened.
/// - No round trip if the connection was used lately. After [`ping_after`](Builder::ping_after)
///   without use the server must answer a ping; if the reply takes unusually long, the pool opens
///   another connection meanwhile.
/// - No leftovers: a connection with an open transaction is closed. A connection with a statement
///   in flight, or with rows that are still being read, is skipped until they are done.
/// - Specific errors: if no connection can be opened and none is in use, the caller gets the reason
///   within [`connect_timeout`](crate::Config::connect_timeout); at once if a retry cannot help.
///
/// A pool belongs to the Tokio runtime of its first checkout, which runs the pool's connection
/// tasks. Create another pool for another runtime.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

/// What the clones of a pool share.
struct Inner {
    settings: Builder,
    opener: Arc<Opener>,
    slots: Mutex<Slots>,
    /// Whether the pool is closed. Cancelled while [`slots`](Self::slots) is locked.
    closed: CancellationToken,
    /// Asks the maintenance task to look at the pool.
    maintenance: Arc<Notify>,
    maintainer: Mutex<Option<AbortHandle>>,
}

impl Pool {
    /// Checks out a connection, within [`checkout_timeout`](Builder::checkout_timeout).
    ///
    /// # Errors
    ///
    /// - [`Error::Connect`] if no connection could be opened and none is in use: at once if a retry
    ///   cannot help, else after [`connect_timeout`](crate::Config::connect_timeout).
    /// - [`Error::CheckoutTimeout`] if the time passed: with the cause if none could be opened
    ///   meanwhile, without one if all are in use.
    /// - [`Error::PoolClosed`] after [`Pool::close`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue and loses nothing else.
    pub async fn get(&self) -> Result<PooledConnection, Error> {
        self.0.checkout(self.0.settings.checkout_timeout).await
    }

    /// Checks out a connection, until `deadline` by the wall clock. In a Lambda function, pass the
    /// invocation's deadline minus the time that the response needs.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`].
    ///
    /// # Cancel safety
    ///
    /// That of [`Pool::get`].
    pub async fn get_until(&self, deadline: SystemTime) -> Result<PooledConnection, Error> {
        let left = deadline.duration_since(self.0.opener.now().wall);
        self.0.checkout(left.unwrap_or_default()).await
    }

    /// Closes the pool. Waiters get [`Error::PoolClosed`]. Idle connections close now, borrowed
    /// ones on return. A transaction in progress continues, but is not retried.
    ///
    /// Returns once all connections are closed. After `timeout_after` it aborts the connections
    /// that are still in use, so that their statements fail, and returns how many it aborted. A
    /// connection that was returned just before gets 100 ms to send `Terminate`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the pool closed. Borrowed connections stay usable.
    pub async fn close(&self, timeout_after: Duration) -> usize {
        let inner = &self.0;
        let drained = {
            let mut slots = inner.lock();
            inner.closed.cancel();
            slots.drain()
        };
        for _ in &drained.connections {
            inner.meter().closed(Discard::PoolClosed);
        }
        drop(drained);

        let tasks = inner.opener.tasks();
        if timeout(timeout_after, tasks.all_ended()).await.is_ok() {
            return 0;
        }
        let in_use = std::mem::take(&mut inner.lock().open);
        for connection in in_use.values() {
            connection.abort();
        }
        inner.opener.cut_off().cancel();
        tasks.all_ended().await;
        in_use.len()
    }

    /// Returns the retry policy of [`Pool::transaction`].
    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        self.0.settings.retry_policy
    }

    /// Checks out a connection like [`get`](Self::get), within `limit` at most.
    pub(crate) async fn get_within(&self, limit: Duration) -> Result<PooledConnection, Error> {
        let timeout = self.0.settings.checkout_timeout.min(limit);
        self.0.checkout(timeout).await
    }

    /// Counts an attempt at a transaction that did not commit.
    pub(crate) fn met(&self, cause: Cause) {
        self.0.meter().met(cause);
    }

    /// Counts a `COMMIT` whose reply was lost, and how it was settled, if it was.
    pub(crate) fn commit_lost(&self, id: Option<OutcomeId>, settled: Option<Outcome>) {
        self.0.meter().commit_lost(id, settled);
    }

    /// Returns the attributes of the home Region's server.
    pub(crate) fn server(&self) -> &Server {
        self.0.opener.home_server()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Returns once the pool closes.
    pub(crate) async fn closed(&self) {
        self.0.closed.cancelled().await;
    }
}

impl Inner {
    fn meter(&self) -> &Meter {
        self.opener.meter()
    }

    fn is_closed(&self) -> bool {
        self.closed.is_cancelled()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closed.cancel();
        let slots = self.slots.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(slots.drain());
        self.opener.meter().populated(Population::default());
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("config", self.0.opener.config())
            .field("max_size", &self.0.settings.max_size)
            .finish_non_exhaustive()
    }
}
