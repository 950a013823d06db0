//! One open session.

mod cache;
mod ddl;
mod health;
mod opener;
mod ping;
mod query;
mod statement;
mod validate;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_postgres::Client;

use self::cache::StatementCache;
pub(crate) use self::health::Checks;
use self::health::Health;
pub(crate) use self::opener::Opener;
pub(crate) use self::ping::Ping;
pub use self::query::Query;
pub(crate) use self::validate::{Returned, Validity};
use crate::clock::Moment;
use crate::config::Config;
use crate::connect::{Aborter, ConnectionTask, Opened, Peek, Place, Progress};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::telemetry::Server;
use crate::wire::Watch;

/// A connection to the cluster.
///
/// Its statement methods cache prepared statements: a text costs one round trip once it was
/// prepared on this connection. The connections of [`Pool`](crate::Pool), bb8 and deadpool and a
/// [`Transaction`](crate::Transaction) deref to it, and [`Config::connect`] returns it. So
/// `fn f(c: &Connection)` takes each of them.
///
/// It derefs to the driver's [`Client`] for everything else, and for code that is generic over
/// [`GenericClient`](tokio_postgres::GenericClient): pass `&**connection`. The client's own `query`
/// and `execute` do not use the cache: given a text, they prepare it each time, which costs another
/// round trip. Only `&Client` is available. The client's own transactions take `&mut`, and are
/// unavailable on purpose: their `commit` returns `Ok` when the server answered `COMMIT` with
/// `ROLLBACK`:
///
/// ```compile_fail,E0596
/// # async fn example(mut connection: dsql_conn::Connection) {
/// let client: &mut dsql_conn::tokio_postgres::Client = &mut connection;
/// # }
/// ```
///
/// [`Connection::transaction`] runs transactions.
///
/// Dropping the connection closes it. The server gets `Terminate` if no reply is pending.
pub struct Connection {
    session: Arc<Session>,
    statement_timeout: Option<Duration>,
}

/// What the handles of one connection share.
struct Session {
    // Dropped before the client: when the client's drop wakes the task, the task must know that the
    // owner has dropped the connection.
    task: ConnectionTask,
    client: Client,
    cache: StatementCache,
    watch: Watch,
    peek: Peek,
    opener: Arc<Opener>,
    health: Mutex<Health>,
    place: Place,
    /// A random number from 0 to 1. Decides when the connection is replaced after the home Region
    /// has recovered.
    return_unit: f64,
    /// The client may have been used since the connection was last found clean.
    touched: AtomicBool,
    /// The connection was found valid once.
    proven: AtomicBool,
}

/// A connection whose statements have a timeout. Returned by
/// [`Connection::with_statement_timeout`].
pub struct WithStatementTimeout<'a> {
    connection: Connection,
    borrowed: PhantomData<&'a Connection>,
}

impl Config {
    /// Opens one connection that belongs to no pool.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dsql_conn::Error> {
    /// let mut connection = dsql_conn::Config::from_env()?.connect().await?;
    /// connection.execute_ddl("CREATE SCHEMA IF NOT EXISTS games").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the reason. Transient failures were retried until
    /// [`connect_timeout`](Self::connect_timeout).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes whatever was opened.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let opener = Arc::new(Opener::new(self.clone(), Checks::default()));
        opener.check()?;
        Ok(opener.open(&Progress::default()).await?)
    }
}

impl Connection {
    fn new(opened: Opened, place: Place, opener: Arc<Opener>) -> Self {
        let Opened {
            client,
            task,
            watch,
            peek,
            began,
        } = opened;
        let config = opener.config();
        let (now, max_lifetime) = (opener.now(), config.max_lifetime);
        let mut health = Health::new(began, now, max_lifetime, rand::random());
        if let Some(round_trip) = watch.round_trip() {
            health.measured(round_trip);
        }
        let statement_timeout = config.statement_timeout;
        let session = Session {
            task,
            client,
            cache: StatementCache::default(),
            watch,
            peek,
            opener,
            health: Mutex::new(health),
            place,
            return_unit: rand::random(),
            // The session's end may have arrived together with the reply to its login.
            touched: AtomicBool::new(true),
            proven: AtomicBool::new(false),
        };
        Self {
            session: Arc::new(session),
            statement_timeout,
        }
    }

    /// Returns when the connection is due to be replaced: [`Config::max_lifetime`] after it was
    /// opened, less its jitter.
    pub fn expires_at(&self) -> SystemTime {
        self.health().expires_at()
    }

    /// Returns the endpoint that serves this connection: the home Region's, or that of the
    /// [`peer`](Config::peer).
    pub fn endpoint(&self) -> &Endpoint {
        self.session.opener.endpoint(self.session.place)
    }

    /// Returns whether the session has ended, for whatever reason.
    pub fn is_closed(&self) -> bool {
        self.session.watch.is_closed() || self.session.client.is_closed()
    }

    /// Returns this connection with another timeout for its statements, or with none. Defaults to
    /// [`Config::statement_timeout`].
    ///
    /// ```no_run
    /// # async fn example(connection: &dsql_conn::Connection) -> Result<(), dsql_conn::Error> {
    /// use std::time::Duration;
    ///
    /// let patient = connection.with_statement_timeout(Duration::from_secs(60));
    /// patient.query("SELECT title FROM games ORDER BY title", &[]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_statement_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> WithStatementTimeout<'_> {
        let mut connection = self.share();
        connection.statement_timeout = timeout.into();
        WithStatementTimeout {
            connection,
            borrowed: PhantomData,
        }
    }

    /// Returns another handle of the same session. The caller makes sure that the owner's handle
    /// outlives it, or checks [`is_shared`](Self::is_shared).
    pub(crate) fn share(&self) -> Self {
        Self {
            session: Arc::clone(&self.session),
            statement_timeout: self.statement_timeout,
        }
    }

    /// Returns a number that identifies the session while it exists.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.session).addr()
    }

    /// Returns whether another handle of this session exists.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.session) > 1
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.session.watch
    }

    pub(crate) fn opener(&self) -> &Arc<Opener> {
        &self.session.opener
    }

    /// Returns the server's attributes in spans and metrics.
    pub(crate) fn server(&self) -> &Server {
        self.session.opener.server(self.session.place)
    }

    /// Closes the session at once, so that its statement or transaction does not continue.
    pub(crate) fn abort(&self) {
        self.session.task.aborter().abort();
    }

    pub(crate) fn aborter(&self) -> Aborter {
        self.session.task.aborter().clone()
    }

    pub(crate) fn now(&self) -> Moment {
        self.session.opener.now()
    }

    fn client(&self) -> &Client {
        self.session.touched.store(true, Ordering::Relaxed);
        &self.session.client
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        let health = self.session.health.lock();
        health.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    /// Counts a connection that could not be used although it was just opened. One that bb8 or the
    /// caller has taken past the pool is never validated, and was fit if it is still open.
    fn drop(&mut self) {
        if *self.proven.get_mut() {
            return;
        }
        let now = self.opener.now();
        let health = self
            .health
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let has_ended = self.watch.is_closed() && !self.watch.was_aborted();
        if !has_ended && !health.is_expired(now) {
            self.opener.proven();
        } else if health.was_just_heard(now) {
            self.opener.unfit();
        }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client()
    }
}

impl Deref for WithStatementTimeout<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = self.session.opener.config();
        f.debug_struct("Connection")
            .field("endpoint", self.endpoint())
            .field("user", &config.user)
            .field("expires_at", &self.expires_at())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WithStatementTimeout<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.connection.fmt(f)
    }
}
