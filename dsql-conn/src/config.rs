//! Collects what a connection needs to know: where to, as whom, for how long.
//!
//! A [`Config`] is plain data; nothing is looked up or opened until it is used.

mod environment;
pub(crate) mod parse;
mod same;
mod url;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::time::TimeSource;
use futures_util::future::BoxFuture;
use rustls::{ClientConfig, pki_types::CertificateDer};

use tokio_postgres::config::SslNegotiation;

use crate::{endpoint::Endpoint, error::ConfigError};

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
/// Besides the setters there are [`Config::from_env`] and [`FromStr`](std::str::FromStr) for `postgres://` URLs.
#[derive(Clone)]
pub struct Config {
    pub(crate) endpoint: Endpoint,
    pub(crate) address: Option<IpAddr>,
    /// Without one of the caller's, the system's.
    pub(crate) resolver: Option<Resolver>,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) application_name: Option<String>,
    /// Settings of the session, by their names.
    pub(crate) settings: BTreeMap<String, String>,
    pub(crate) credentials: Source,
    pub(crate) trust: Trust,
    pub(crate) negotiation: SslNegotiation,
    pub(crate) password_in_startup_flight: bool,
    pub(crate) token_ttl: Duration,
    /// Left to whoever opens the connection, where the caller did not say.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) statement_timeout: Option<Duration>,
    pub(crate) max_lifetime: Duration,
    /// Without one of the caller's, the system's.
    time: Option<Arc<dyn TimeSource>>,
}

/// Finds the addresses of a host and port.
pub(crate) type Resolver = Arc<dyn Fn(String, u16) -> Lookup + Send + Sync>;
pub(crate) type Lookup = BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Whose keys sign.
#[derive(Clone)]
pub(crate) enum Source {
    /// The environment's, else the SDK's default chain.
    Found,
    /// A profile of the shared configuration files.
    #[cfg(feature = "aws-config")]
    Profile(String),
    /// Whatever the caller's provider says. Shared, so that clones of a configuration are known as such.
    Provider(Arc<SharedCredentialsProvider>),
}

/// What the server's certificate is verified against.
#[derive(Clone)]
pub(crate) enum Trust {
    /// The roots compiled into this crate.
    BuiltIn,
    /// These certification authorities and no others.
    Roots(Vec<CertificateDer<'static>>),
    /// Whatever the caller's own configuration says.
    Caller(Arc<ClientConfig>),
}

impl Config {
    /// Starts from the defaults: user `admin`, database `postgres`, and the timeouts that each setter states.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            address: None,
            resolver: None,
            port: 5432,
            user: "admin".to_owned(),
            // The only database that a cluster has:
            // https://docs.aws.amazon.com/aurora-dsql/latest/userguide/accessing.html
            database: "postgres".to_owned(),
            application_name: None,
            settings: BTreeMap::new(),
            credentials: Source::Found,
            trust: Trust::BuiltIn,
            negotiation: SslNegotiation::Direct,
            password_in_startup_flight: false,
            token_ttl: Duration::from_secs(900),
            connect_timeout: None,
            statement_timeout: None,
            max_lifetime: Duration::from_secs(55 * 60),
            time: None,
        }
    }

    /// Sets the database role to connect as. Defaults to `admin`.
    ///
    /// `admin` needs `dsql:DbConnectAdmin`; every other role needs `dsql:DbConnect` and an `AWS IAM GRANT`. See
    /// [authentication and authorization](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/authentication-authorization.html).
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

    /// Sets the schemas that unqualified names are looked up in, such as `games, public`. Defaults to the server's.
    ///
    /// It travels in the startup packet, so that it holds for every connection of a pool. `SET search_path` on a pooled
    /// connection would leak into whatever runs on it next.
    #[must_use]
    pub fn search_path(mut self, search_path: impl Into<String>) -> Self {
        let name = SEARCH_PATH.to_owned();
        self.settings.insert(name, search_path.into());
        self
    }

    /// Sets another setting of every session, in its startup packet. Defaults to the server's values.
    ///
    /// ```
    /// # let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
    /// let config = dsql_conn::Config::new(endpoint).setting("timezone", "Europe/Paris")?;
    /// # Ok::<(), dsql_conn::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError::Setting`] if it is none of [the few](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-postgresql-compatibility-supported-sql-features.html)
    /// that a session of the service may set.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Result<Self, ConfigError> {
        let name = name.to_ascii_lowercase();
        if !SETTINGS.contains(&&*name) {
            return Err(ConfigError::Setting {
                name,
                known: &SETTINGS,
            });
        }
        self.settings.insert(name, value.into());
        Ok(self)
    }

    /// Sets the name that the session carries in the server's views. Defaults to none.
    #[must_use]
    pub fn application_name(mut self, application_name: impl Into<String>) -> Self {
        self.application_name = Some(application_name.into());
        self
    }

    /// Dials this address instead of looking up the endpoint's name. Defaults to none.
    ///
    /// The token is signed and the certificate verified for the endpoint's name all the same.
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

    /// Sets whose keys sign the tokens. Defaults to the environment's (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
    /// `AWS_SESSION_TOKEN`), and without those, with the feature `aws-config`, to the SDK's default chain.
    ///
    /// What a provider returns is cached until shortly before it expires, and fetched once for all who need it at that time.
    /// [`aws_credential_types::Credentials`] is a provider as well:
    ///
    /// ```
    /// # let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
    /// use aws_credential_types::Credentials;
    ///
    /// let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "vault");
    /// let config = dsql_conn::Config::new(endpoint).credentials(keys);
    /// # Ok::<(), dsql_conn::ConfigError>(())
    /// ```
    #[must_use]
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        self.credentials = Source::Provider(Arc::new(provider));
        self
    }

    /// Signs with the keys of this profile in the shared AWS configuration files, whatever the environment holds.
    #[cfg(feature = "aws-config")]
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.credentials = Source::Profile(name.into());
        self
    }

    /// Trusts these certification authorities, and no others, to vouch for the server. Defaults to the roots of the
    /// `webpki-roots` crate, Amazon's among them.
    #[must_use]
    pub fn root_certificates(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        self.trust = Trust::Roots(roots.into_iter().collect());
        self
    }

    /// Trusts the certification authorities in this PEM text, and no others.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Certificates`] if there is no certificate in it.
    pub fn root_certificates_pem(self, pem: &[u8]) -> Result<Self, ConfigError> {
        Ok(self.root_certificates(parse::certificates(
            "root_certificates_pem",
            "the text",
            pem,
        )?))
    }

    /// Uses this TLS configuration as it is, but for ALPN `postgresql` where it names no protocol.
    ///
    /// What it verifies is the caller's responsibility.
    #[must_use]
    pub fn tls_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.trust = Trust::Caller(config);
        self
    }

    /// Sets how the endpoint's name is resolved: for a resolver with a cache, or a test. Defaults to the system's.
    ///
    /// An error of [`io::ErrorKind::TimedOut`] may pass and is tried again; any other is final.
    #[must_use]
    pub fn resolver<F, L>(mut self, resolve: F) -> Self
    where
        F: Fn(String, u16) -> L + Send + Sync + 'static,
        L: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Some(Arc::new(move |host, port| Box::pin(resolve(host, port))));
        self
    }

    /// Sets whether TLS starts with the first byte or is asked for first. Defaults to `Direct`, which saves a round trip.
    ///
    /// Either way the connection is encrypted and verified, or fails.
    #[must_use]
    pub fn ssl_negotiation(mut self, negotiation: SslNegotiation) -> Self {
        self.negotiation = negotiation;
        self
    }

    /// Sets whether the token is sent with the startup packet, before the server has asked for a password. Defaults to not.
    ///
    /// That saves one round trip of each new connection. The token goes to no other peer than before, because the server's
    /// certificate has been verified by then; but the service does not document that it takes it so. Against a server that asks for
    /// something else, the first connection is opened a second time in the usual order, and later ones in no other.
    #[must_use]
    pub fn password_in_startup_flight(mut self, is_early: bool) -> Self {
        self.password_in_startup_flight = is_early;
        self
    }

    /// Sets how long a token may be used to log in. Defaults to 15 minutes; the service takes 1 second to one week.
    ///
    /// A token is signed for each connection and used at once, so that longer rarely helps. An open connection outlives its
    /// token ([authentication tokens](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/SECTION_authentication-token.html)).
    ///
    /// # Errors
    ///
    /// [`ConfigError::Value`] outside of that range.
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

    /// Sets the deadline for opening one connection: credentials, name, TCP, TLS, login and retries. Defaults to 10 seconds,
    /// and to 5 seconds in [`Pool::lambda`](crate::Pool::lambda).
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout.min(FOREVER));
        self
    }

    /// Sets how long a statement may wait for its reply. Defaults to no limit: the service ends a
    /// transaction after [5 minutes](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
    ///
    /// The server cannot cancel a statement. After the timeout the connection gets a moment to
    /// settle, and is closed otherwise.
    /// [`Connection::with_statement_timeout`](crate::Connection::with_statement_timeout) sets it for
    /// single statements. `COMMIT` has the deadline of its
    /// [`RetryPolicy`](crate::RetryPolicy::timeout).
    #[must_use]
    pub fn statement_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.statement_timeout = timeout.into().map(|timeout| timeout.min(FOREVER));
        self
    }

    /// Sets the age at which a connection is replaced. Defaults to 55 minutes, because the service ends a connection after
    /// [60 minutes](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
    ///
    /// Each connection gets a random share, up to a fifth, less (11 of 55 minutes), so that a fleet that started
    /// together does not reconnect together. Less than a second counts as one.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime.clamp(Duration::from_secs(1), FOREVER);
        self
    }

    /// Sets the clock that ages and signatures are read from. Defaults to the system's wall clock.
    ///
    /// Tests move a [`ManualTimeSource`](https://docs.rs/aws-smithy-async/latest/aws_smithy_async/test_util/struct.ManualTimeSource.html).
    #[must_use]
    pub fn time_source(mut self, time: impl TimeSource + 'static) -> Self {
        self.time = Some(Arc::new(time));
        self
    }

    /// The cluster.
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
            .field("user", &self.user)
            .field("database", &self.database)
            .field("application_name", &self.application_name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Ten years: no clock can hold the longest duration there is.
pub(crate) const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

const SEARCH_PATH: &str = "search_path";

/// What a session may set beside its name and encoding, which the driver sets:
/// [supported settings](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-postgresql-compatibility-supported-sql-features.html).
const SETTINGS: [&str; 15] = [
    "datestyle",
    "disable_sync_create_index",
    "dsql.enable_batched_nestloop",
    "enable_bitmapscan",
    "enable_hashjoin",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_seqscan",
    "extra_float_digits",
    "intervalstyle",
    SEARCH_PATH,
    "timezone",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
        Config::new(endpoint.parse().unwrap())
    }

    #[test]
    fn a_token_lives_from_a_second_to_a_week() {
        for seconds in [1, 900, 604_800] {
            assert!(config().token_ttl(Duration::from_secs(seconds)).is_ok());
        }
        for ttl in [
            Duration::ZERO,
            Duration::from_millis(999),
            Duration::from_secs(604_801),
        ] {
            assert!(config().token_ttl(ttl).is_err(), "{ttl:?}");
        }
    }

    #[test]
    fn a_setting_that_the_service_does_not_have_is_refused() {
        assert!(config().setting("TimeZone", "UTC").is_ok());
        let error = config()
            .setting("statement_timeout", "5s")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("statement_timeout") && error.contains("timezone"),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        for pem in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let error = config().root_certificates_pem(pem.as_bytes()).unwrap_err();
            assert!(matches!(error, ConfigError::Certificates { .. }), "{error}");
        }
    }

    #[test]
    fn clones_are_the_same_until_a_setting_differs() {
        let one = config().credentials(aws_credential_types::Credentials::new(
            "a", "b", None, None, "test",
        ));
        assert!(one.is_same(&one.clone()));
        assert!(!one.is_same(&config()));
        assert!(config().is_same(&config()));
        let others = [
            config().user("game"),
            config().port(1),
            config().search_path("games"),
            config().connect_timeout(Duration::from_secs(1)),
            config().max_lifetime(Duration::from_secs(1)),
            config().statement_timeout(Duration::from_secs(1)),
        ];
        for other in others {
            assert!(!other.is_same(&config()), "{other:?}");
        }
    }
}
