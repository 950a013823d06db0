//! The settings of a connection: the cluster, the user, and the timeouts.
//!
//! A [`Config`] is plain data. Nothing is looked up or opened until it is used.

mod application_name;
mod environment;
mod identity;
mod inspect;
pub(crate) mod parse;
mod peer;
mod pool;
mod setting;
mod source;
mod statement_spans;
#[cfg(test)]
mod tests;
mod trust;
mod url;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use aws_smithy_async::time::TimeSource;
use futures_util::future::BoxFuture;
use tokio_postgres::config::SslNegotiation;

pub(crate) use self::application_name::FUNCTION_NAME;
pub(crate) use self::identity::ByIdentity;
pub use self::inspect::Summary;
pub use self::peer::Peer;
pub(crate) use self::pool::PoolVariables;
use self::setting::Settings;
pub(crate) use self::source::Source;
pub use self::statement_spans::StatementSpans;
pub(crate) use self::trust::Trust;
use crate::endpoint::Endpoint;
use crate::error::ConfigError;

/// How to connect to one cluster as one user.
///
/// ```
/// use std::time::Duration;
/// use dsql_conn::Config;
///
/// let config = Config::new("abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?)
///     .user("game")
///     .search_path("games")
///     .connect_timeout(Duration::from_secs(5));
/// # Ok::<(), dsql_conn::ConfigError>(())
/// ```
///
/// [`Config::from_env`] reads one from the environment, [`FromStr`](std::str::FromStr) from a
/// `postgres://` URL.
///
/// Two configurations are equal if all their settings are. Credentials providers, resolvers, clocks
/// and TLS configurations are equal only to their own clones.
#[derive(Clone, PartialEq)]
pub struct Config {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: Option<IpAddr>,
    /// `None` uses the system's.
    pub(crate) resolver: Option<ByIdentity<Resolver>>,
    pub(crate) port: u16,
    peer: Option<Peer>,
    pub(crate) failover_after: Duration,
    pub(crate) user: String,
    pub(crate) database: String,
    /// `None` uses the program's.
    pub(crate) application_name: Option<String>,
    pub(crate) settings: Settings,
    pub(crate) credentials: Source,
    pub(crate) trust: Trust,
    pub(crate) negotiation: SslNegotiation,
    pub(crate) password_in_startup_flight: bool,
    pub(crate) token_ttl: Duration,
    /// `None` uses the default of whatever opens the connection.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) statement_spans: StatementSpans,
    pub(crate) max_lifetime: Duration,
    pub(crate) pool: PoolVariables,
    /// `None` uses the system's.
    time: Option<ByIdentity<dyn TimeSource>>,
}

/// Finds the addresses of a host and port.
pub(crate) type Resolver = dyn Fn(String, u16) -> Lookup + Send + Sync;
type Lookup = BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

impl Config {
    /// Creates a configuration with the defaults: user `admin`, database `postgres`, and those that
    /// the setters document.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            address: None,
            resolver: None,
            port: 5432,
            peer: None,
            failover_after: Duration::from_secs(1),
            user: ADMIN.to_owned(),
            // A cluster has only this database:
            // https://docs.aws.amazon.com/aurora-dsql/latest/userguide/accessing.html
            database: "postgres".to_owned(),
            application_name: None,
            settings: Settings::default(),
            credentials: Source::Found,
            trust: Trust::BuiltIn,
            negotiation: SslNegotiation::Direct,
            password_in_startup_flight: false,
            token_ttl: Duration::from_secs(900),
            connect_timeout: None,
            statement_timeout: None,
            statement_spans: StatementSpans::Off,
            max_lifetime: Duration::from_secs(55 * 60),
            pool: PoolVariables::default(),
            time: None,
        }
    }

    /// Sets the database role to connect as. Defaults to `admin`.
    ///
    /// `admin` needs `dsql:DbConnectAdmin`; every other role needs `dsql:DbConnect` and an
    /// `AWS IAM GRANT`. See [authentication and authorization](
    /// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/authentication-authorization.html).
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the database. Defaults to `postgres`, the only one that a cluster has.
    #[must_use]
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// Connects to this IP address instead of looking up the endpoint's name. Defaults to none.
    ///
    /// Tokens are still signed, and certificates verified, for the endpoint's name.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Sets the TCP port. Defaults to 5432.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets how the endpoint's name is resolved, for a resolver with a cache or a test. Defaults to
    /// the system's resolver.
    ///
    /// The function gets the host name and the port. An error of [`io::ErrorKind::TimedOut`] is
    /// retried until the connect timeout; any other is final.
    #[must_use]
    pub fn resolver<F, L>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> L + Send + Sync + 'static,
        L: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        let resolve: Arc<Resolver> = Arc::new(move |host, port| Box::pin(resolve(host, port)));
        self.resolver = Some(ByIdentity(resolve));
        self
    }

    /// Sets whether the token is sent with the startup packet, before the server has asked for a
    /// password. Defaults to `false`.
    ///
    /// It saves one round trip for each new connection. The token reaches no other peer than
    /// before, because the server's certificate has been verified by then. The service does not
    /// document that it accepts this. If a server asks for something else, the connection is opened
    /// again in the usual order, and so are all later ones.
    #[must_use]
    pub fn password_in_startup_flight(mut self, is_early: bool) -> Self {
        self.password_in_startup_flight = is_early;
        self
    }

    /// Sets how long a token can be used to log in. Defaults to 15 minutes.
    ///
    /// A token is signed for each connection and used at once, so a longer time rarely helps. An
    /// open connection outlives its token ([authentication tokens](
    /// https://docs.aws.amazon.com/aurora-dsql/latest/userguide/SECTION_authentication-token.html
    /// )).
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] if it is not between 1 second and 604,800 seconds (one week), which
    /// are the limits of the service.
    pub fn token_ttl(mut self, ttl: Duration) -> Result<Self, ConfigError> {
        if ttl < Duration::from_secs(1) || ttl > Duration::from_secs(604_800) {
            return Err(ConfigError::Value {
                setting: "token_ttl",
                value: format!("{ttl:?}"),
                expected: "from 1 second to 604,800 seconds, which is a week",
            });
        }
        self.token_ttl = ttl;
        Ok(self)
    }

    /// Sets the deadline for opening one connection: credentials, name resolution, TCP, TLS, login
    /// and retries. Defaults to 10 seconds, in [`Pool::lambda`](crate::Pool::lambda) to 5 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout.min(FOREVER));
        self
    }

    /// Sets how long a statement may wait for its reply. Defaults to no limit: the service ends a
    /// transaction after [5
    /// minutes](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
    ///
    /// The server cannot cancel a statement. After the timeout the connection gets a moment to
    /// settle, and is closed otherwise.
    /// [`Connection::with_statement_timeout`](crate::Connection::with_statement_timeout) sets it
    /// for single statements. `COMMIT` has the deadline of its
    /// [`RetryPolicy`](crate::RetryPolicy::timeout).
    #[must_use]
    pub fn statement_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.statement_timeout = timeout.into().map(|timeout| timeout.min(FOREVER));
        self
    }

    /// Sets the age at which a connection is replaced. Defaults to 55 minutes, because the service
    /// closes a connection after
    /// [60 minutes](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
    ///
    /// Each connection gets up to a fifth less, at random (up to 11 of 55 minutes), so that a fleet
    /// that started together does not reconnect together. The minimum is 1 second.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime.clamp(Duration::from_secs(1), FOREVER);
        self
    }

    /// Sets the clock for signatures and for the age of connections. Defaults to the system's wall
    /// clock.
    ///
    /// Tests use a [`ManualTimeSource`](
    /// https://docs.rs/aws-smithy-async/latest/aws_smithy_async/test_util/).
    #[must_use]
    pub fn time_source(mut self, time: impl TimeSource + 'static) -> Self {
        self.time = Some(ByIdentity(Arc::new(time)));
        self
    }

    /// Returns the cluster's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn now(&self) -> SystemTime {
        match &self.time {
            Some(time) => time.now(),
            None => SystemTime::now(),
        }
    }

    pub(crate) fn connect_deadline(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(10))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("endpoint", &self.endpoint)
            .field("address", &self.address)
            .field("port", &self.port)
            .field("peer", &self.peer)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("application_name", &self.application_name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The only role that connects by `dsql:DbConnectAdmin`.
pub(crate) const ADMIN: &str = "admin";

/// Ten years: adding `Duration::MAX` to a clock would overflow.
pub(crate) const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
