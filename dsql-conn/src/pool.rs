//! Lends connections: fairly, without a round trip when warm, and with the true cause when there are none.

use std::{
    env, fmt,
    future::poll_fn,
    ops::{Deref, DerefMut},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, SystemTime},
};

use bb8::{QueueStrategy, RunError};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError},
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    backoff::Backoff,
    config::Config,
    connection::Connection,
    error::{ConnectError, Error},
    manager::{ConnectionManager, Dialer},
};

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
#[derive(Clone)]
pub struct Pool {
    connections: bb8::Pool<ConnectionManager>,
    /// One permit for each connection that may be lent. bb8 alone lets newcomers overtake those who wait.
    permits: Arc<Semaphore>,
    dialer: Arc<Dialer>,
}

/// A connection on loan. Dropping it gives it back.
pub struct PooledConnection {
    // Before its permit: who gets the permit next must find the connection.
    connection: bb8::PooledConnection<'static, ConnectionManager>,
    _permit: OwnedSemaphorePermit,
}

/// Settings of a [`Pool`]. By [`Pool::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    config: Config,
    max_size: u32,
}

impl Pool {
    /// Makes a pool of up to 10 connections that opens the first one when it is needed.
    pub fn new(config: Config) -> Self {
        Self::builder(config).build()
    }

    /// Makes a pool of up to 10 connections and opens the first one.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the pool.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        let pool = Self::new(config);
        drop(pool.get().await?);
        Ok(pool)
    }

    /// Makes a pool for a Lambda function: one connection, opened when it is needed, for the one invocation at a time that an
    /// execution environment serves; as many as `AWS_LAMBDA_MAX_CONCURRENCY` says where Lambda sets that.
    ///
    /// Make it before the runtime starts and take a connection once, so that it is opened while the environment is
    /// initialized: that phase has the most CPU. Do not fail the initialization if that fails; the next checkout tries again.
    pub fn lambda(config: Config) -> Self {
        let concurrency = env::var("AWS_LAMBDA_MAX_CONCURRENCY").ok();
        let concurrency = concurrency.and_then(|value| value.parse().ok());
        Self::builder(config)
            .max_size(concurrency.unwrap_or(1))
            .build()
    }

    /// Starts from the defaults of [`Pool::new`].
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            max_size: 10,
        }
    }

    /// Lends a connection, within [`Config::checkout_timeout`].
    ///
    /// # Errors
    ///
    /// - [`Error::Connect`] if none could be opened, trying again would not help and none is open; within the time that one
    ///   attempt takes.
    /// - [`Error::CheckoutTimeout`] if the time passed; with the last cause if connections failed to open meanwhile.
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
        let left = deadline.duration_since(self.config().time.now());
        self.checkout(left.unwrap_or_default()).await
    }

    /// Closes the pool: whoever waits is told so, idle connections are closed, lent ones when they come back.
    ///
    /// Returns once all are closed, at the latest after `patience`: then the ones still lent are cut off. Returns how many
    /// those were.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the pool closed and lent connections to their borrowers.
    pub async fn close(&self, patience: Duration) -> usize {
        self.permits.close();
        self.dialer.close();
        self.drop_idle().await;

        let drivers = &self.dialer.connector.drivers;
        if tokio::time::timeout(patience, drivers.ended())
            .await
            .is_ok()
        {
            return 0;
        }
        let cut = drivers.abort();
        drivers.ended().await;
        cut
    }

    /// Makes bb8 pop every idle connection: each is found unfit in turn, all within one poll.
    async fn drop_idle(&self) {
        let mut popping = pin!(self.connections.get());
        poll_fn(|cx| {
            let _ = popping.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }

    async fn checkout(&self, patience: Duration) -> Result<PooledConnection, Error> {
        let patience = Patience::starting_now(patience);
        let permits = Arc::clone(&self.permits);
        let permit = match permits.try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return Err(Error::PoolClosed),
            Err(TryAcquireError::NoPermits) => {
                let permits = Arc::clone(&self.permits);
                match timeout_at(patience.deadline, permits.acquire_owned()).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) => return Err(Error::PoolClosed),
                    Err(_) => return Err(patience.exhausted(None)),
                }
            }
        };
        self.lend(permit, patience).await
    }

    /// Takes a connection from bb8, and watches the dials, whose failures bb8 does not report to those who wait.
    async fn lend(
        &self,
        permit: OwnedSemaphorePermit,
        patience: Patience,
    ) -> Result<PooledConnection, Error> {
        // Read before anything is dialed, so that no failure from here on is missed.
        let mut seen = self.dialer.failures();
        let mut getting = pin!(self.connections.get_owned());
        let first_poll = poll_fn(|cx| Poll::Ready(getting.as_mut().poll(cx))).await;
        if let Poll::Ready(result) = first_poll {
            return PooledConnection::new(result, permit, &patience, None);
        }

        self.dialer.end_overdue();
        let mut dialing = self.dialer.watch();
        let mut redial = pin!(sleep_until(patience.deadline));
        let mut failed = 0;
        let mut cause: Option<ConnectError> = None;
        loop {
            tokio::select! {
                biased;
                result = getting.as_mut() => {
                    return PooledConnection::new(result, permit, &patience, cause);
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
                        && self.connections.state().connections == 0
                    {
                        return Err(error.clone().into());
                    }
                    failed += 1;
                    let delay = REDIAL.delay(failed, rand::random());
                    redial.as_mut().reset(patience.deadline.min(Instant::now() + delay));
                }
                () = redial.as_mut() => {
                    if Instant::now() >= patience.deadline {
                        return Err(patience.exhausted(cause));
                    }
                    // bb8 dials for those who begin to wait, and not again for those who wait already.
                    getting.set(self.connections.get_owned());
                    redial.as_mut().reset(patience.deadline);
                }
            }
        }
    }

    fn config(&self) -> &Config {
        &self.dialer.connector.config
    }
}

impl Builder {
    /// Sets how many connections there may be at most. Defaults to 10; less than 1 counts as 1.
    pub fn max_size(mut self, max_size: u32) -> Self {
        self.max_size = max_size.max(1);
        self
    }

    /// Makes the pool. Nothing is opened yet.
    pub fn build(self) -> Pool {
        let manager = ConnectionManager::new(self.config);
        let dialer = Arc::clone(&manager.dialer);
        let connections = bb8::Pool::builder()
            .max_size(self.max_size)
            // The warmest first: what is idle for long is pinged before it is lent.
            .queue_strategy(QueueStrategy::Lifo)
            // Dialing again, deadlines and age are this crate's: bb8's failures reach nobody, its clock stands still in a
            // frozen Lambda.
            .retry_connection(false)
            .connection_timeout(Duration::MAX)
            .max_lifetime(None)
            .idle_timeout(None)
            .build_unchecked(manager);
        Pool {
            connections,
            permits: Arc::new(Semaphore::new(self.max_size as usize)),
            dialer,
        }
    }
}

impl PooledConnection {
    fn new(
        result: Result<bb8::PooledConnection<'static, ConnectionManager>, RunError<Error>>,
        permit: OwnedSemaphorePermit,
        patience: &Patience,
        cause: Option<ConnectError>,
    ) -> Result<Self, Error> {
        match result {
            Ok(connection) => Ok(Self {
                connection,
                _permit: permit,
            }),
            Err(RunError::User(error)) => Err(error),
            Err(RunError::TimedOut) => Err(patience.exhausted(cause)),
        }
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
            .field("connections", &self.connections.state().connections)
            .field("idle", &self.connections.state().idle_connections)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PooledConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// How long one checkout may take.
struct Patience {
    started: Instant,
    deadline: Instant,
}

impl Patience {
    fn starting_now(patience: Duration) -> Self {
        let started = Instant::now();
        Self {
            started,
            deadline: started.checked_add(patience).unwrap_or(started + FOREVER),
        }
    }

    fn exhausted(&self, cause: Option<ConnectError>) -> Error {
        Error::CheckoutTimeout {
            waited: self.started.elapsed(),
            cause,
        }
    }
}

/// How fast one waiter causes dials while they fail.
const REDIAL: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(2),
};

/// Ten years: a deadline that no clock can hold is none.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
