//! Opens connections: credentials, token, name, TCP, TLS and login, within one deadline.

mod address;
mod failover;
mod pacing;
mod progress;
mod regions;
mod socket;
mod startup;
mod stream;
mod task;

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};
use std::{io, mem};

use aws_credential_types::Credentials;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{Instrument, Span};

use self::address::Unreached;
pub(crate) use self::failover::Place;
use self::pacing::Attempts;
pub(crate) use self::pacing::BACKOFF;
pub(crate) use self::progress::Progress;
use self::progress::Step;
pub(crate) use self::regions::Regions;
pub(crate) use self::socket::Peek;
use self::socket::Socket;
use self::stream::WatchedTls;
pub(crate) use self::task::{Aborter, ConnectionTask, Tasks};
use crate::clock::Moment;
use crate::config::Config;
use crate::credentials::{CredentialsCache, Found, MOST_FETCHES};
use crate::error::{ConfigError, ConnectError, Failure, one_line};
use crate::reason::Reason;
use crate::refusal::{self, classify};
use crate::telemetry::{Meter, PoolLimits, Server, event, span};
use crate::tls::client_config;
use crate::token::Token;
use crate::wire::Watch;

/// Opens connections for one configuration, and keeps what they share.
pub(crate) struct Connector {
    pub(crate) config: Config,
    pub(crate) server: Server,
    pub(crate) meter: Arc<Meter>,
    credentials: Arc<CredentialsCache>,
    /// One configuration for all connections, so that TLS sessions resume.
    tls: Result<MakeRustlsConnect, ConfigError>,
    pub(crate) tasks: Tasks,
    /// A server did not ask for the password that was sent with the startup packet, or asked for
    /// something else.
    password_was_unwanted: AtomicBool,
}

/// A session that is ready for its first statement.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) task: ConnectionTask,
    pub(crate) watch: Watch,
    pub(crate) peek: Peek,
    /// When the opening began, before the first packet: the service counts the age from the first
    /// packet that it sees.
    pub(crate) began: Moment,
}

impl Connector {
    /// Creates a connector, for a pool of this name and size if they are known. Never fails: the
    /// first connection reports a name that cannot be sent and wrong TLS settings.
    pub(crate) fn new(config: Config, pool: Option<String>, limits: Option<PoolLimits>) -> Self {
        let server = Server::new(&config);
        let pool = pool.unwrap_or_else(|| server.pool_name());
        let meter = Arc::new(Meter::new(pool, limits));
        let tls = config.check_names();
        let tls = tls.and_then(|()| client_config(&config.trust));
        Self {
            credentials: Arc::new(CredentialsCache::new(
                config.credentials.clone(),
                // Leaves time for another fetch after one that hangs.
                config.connect_deadline().mul_f64(0.75),
                Arc::clone(&meter),
            )),
            server,
            meter,
            tls: tls.map(MakeRustlsConnect::new),
            tasks: Tasks::default(),
            password_was_unwanted: AtomicBool::new(false),
            config,
        }
    }

    /// Returns a connector for the other Region, with the same credentials and TLS sessions.
    pub(crate) fn of_peer(&self) -> Option<Self> {
        let config = self.config.at_peer()?;
        Some(Self {
            server: Server::new(&config),
            meter: Arc::clone(&self.meter),
            config,
            credentials: Arc::clone(&self.credentials),
            tls: self.tls.clone(),
            tasks: self.tasks.clone(),
            password_was_unwanted: AtomicBool::new(false),
        })
    }

    /// Returns whether the configuration can work at all.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.tls.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Opens a connection. Retries transient failures until the deadline.
    pub(crate) async fn open(
        &self,
        progress: &Progress,
        timeout: Duration,
    ) -> Result<Opened, ConnectError> {
        let span = span::connect(&self.server);
        let mut attempts = Attempts::within(timeout);
        let opened = self
            .open_observed(progress, timeout, &mut attempts, &span)
            .instrument(span.clone())
            .await;
        span::connected(&span, attempts.made(), &opened);
        opened
    }

    async fn open_observed(
        &self,
        progress: &Progress,
        timeout: Duration,
        attempts: &mut Attempts,
        span: &Span,
    ) -> Result<Opened, ConnectError> {
        let meter = &self.meter;
        let region = self.config.endpoint.region();
        let mut credentials_renewed = false;
        let mut failed_fetches = 0;
        loop {
            let number = attempts.next();
            let mut keys_may_be_old = false;
            let attempt = self.attempt(progress, span, &mut keys_may_be_old);
            let failure = match timeout_at(attempts.deadline(), attempt).await {
                Ok(Ok(opened)) => {
                    progress.ended();
                    meter.connect_attempt(region, None);
                    return Ok(opened);
                }
                Ok(Err(failure)) => failure,
                // The error of the last attempt is more specific than a timeout.
                Err(_) => {
                    progress.ended();
                    meter.connect_attempt(region, Some(Reason::TimedOut));
                    return Err(progress.last_failure().unwrap_or_else(|| {
                        let detail = format!("after {timeout:?}, during {progress}");
                        self.failure(Reason::TimedOut).detail(detail).into()
                    }));
                }
            };
            let reason = failure.reason();
            let error = ConnectError::from(failure.after(number));
            progress.failed(&error);
            event::attempt_failed(number, &error);
            meter.connect_attempt(region, Some(reason));

            if reason.is_about_credentials() {
                self.credentials.forget();
                // The keys may have been replaced at their source. Fetch them again only once: if
                // fresh keys do not help, the cause is this machine's clock or a permission.
                let may_help =
                    keys_may_be_old || matches!(reason, Reason::TokenExpired | Reason::ClockSkew);
                if may_help && !mem::replace(&mut credentials_renewed, true) {
                    continue;
                }
            }
            match reason {
                Reason::CredentialsUnavailable => failed_fetches += 1,
                _ => failed_fetches = 0,
            }
            let may_help = reason.is_transient() && failed_fetches < MOST_FETCHES;
            if !may_help || attempts.back_off().await.is_break() {
                return Err(error);
            }
        }
    }

    async fn attempt(
        &self,
        progress: &Progress,
        span: &Span,
        keys_may_be_old: &mut bool,
    ) -> Result<Opened, Failure> {
        let tls = self
            .tls
            .clone()
            .map_err(|error| self.because(Reason::Tls, error))?;
        let began = Moment::now(&self.config);

        progress.enter(Step::Credentials);
        let found = self.credentials(began.wall).await?;
        *keys_may_be_old = found.may_be_old;
        progress.enter(Step::Token);
        let token = Token::sign(&self.config, found.credentials, began.wall)
            .await
            .map_err(|error| self.because(Reason::Credentials, error))?;
        self.meter.token_signed();

        progress.enter(Step::Name);
        let addresses =
            self.config
                .resolve()
                .await
                .map_err(|error| match is_temporary(&error) {
                    true => self.because(Reason::NameServer, error),
                    false => self.because(Reason::NameResolution, error),
                })?;

        let login = async |early_password| {
            progress.enter(Step::Tcp);
            let stream = self.reach(addresses.clone()).await?;
            span::reached(span, &stream);
            let tls = tls.clone();
            self.login(stream, tls, &token, early_password, began, progress)
                .await
        };
        let may_be_early = || {
            self.config.password_in_startup_flight
                && !self.password_was_unwanted.load(Ordering::Relaxed)
        };
        let early_password = may_be_early();
        let opened = login(early_password).await;
        match early_password && opened.is_err() && !may_be_early() {
            true => login(false).await,
            false => opened,
        }
    }

    async fn credentials(&self, now: SystemTime) -> Result<Found, Failure> {
        self.credentials.get(now).await.map_err(|error| {
            let (said, remedy) = (error.to_string(), error.remedy());
            let failure = self.because(error.reason(), error);
            // The causes below it repeat the same in the SDK's words.
            failure.detail(said).remedy(remedy)
        })
    }

    /// Returns credentials without an attempt to connect.
    pub(crate) async fn fetch_credentials(&self) -> Result<Credentials, ConnectError> {
        let found = self.credentials(self.config.now()).await?;
        Ok(found.credentials)
    }

    async fn reach(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
        address::connect(addresses)
            .await
            .map_err(|Unreached { address, error }| {
                let kind = error.kind();
                let reason = match kind {
                    // The peer accepted the connection and reset it before this side noticed.
                    io::ErrorKind::ConnectionReset => Reason::Interrupted,
                    _ => Reason::Unreachable,
                };
                let detail = address.map(|address| format!("{address}: {error}"));
                let failure = self.because(reason, error);
                let failure = match detail {
                    Some(detail) => failure.detail(detail),
                    None => failure,
                };
                match kind {
                    io::ErrorKind::ConnectionRefused => failure.remedy(NOBODY_LISTENS),
                    _ => failure,
                }
            })
    }

    async fn login(
        &self,
        stream: TcpStream,
        tls: MakeRustlsConnect,
        token: &Token,
        early_password: bool,
        began: Moment,
        progress: &Progress,
    ) -> Result<Opened, Failure> {
        let watch = Watch::default();
        let tls = WatchedTls::new(
            tls,
            self.config.endpoint.host(),
            watch.clone(),
            early_password.then(|| token.as_str().to_owned()),
            progress,
        );
        let settings = startup::settings(&self.config, token);

        let socket = Socket::new(stream);
        let peek = socket.peek();
        progress.enter(Step::Tls);
        let connected = settings.connect_raw(socket, tls).await;
        if watch.password_was_unwanted() {
            self.password_was_unwanted.store(true, Ordering::Relaxed);
        }
        let (client, connection) = connected.map_err(|error| {
            let (reason, said) = classify(&error, token.signed());
            let remedy = refusal::remedy(reason, said.as_deref(), &self.config.user);
            let said = said.unwrap_or_else(|| format!("during {progress}"));
            let failure = self.failure(reason).detail(said).caused_by(error);
            match remedy {
                Some(remedy) => failure.remedy(remedy),
                None => failure,
            }
        })?;
        Ok(Opened {
            client,
            task: ConnectionTask::spawn(connection, watch.clone(), &self.tasks),
            watch,
            peek,
            began,
        })
    }

    /// Starts an error about this endpoint and user.
    pub(crate) fn failure(&self, reason: Reason) -> Failure {
        Failure::new(self.config.endpoint.host(), &self.config.user, reason)
    }

    fn because(&self, reason: Reason, cause: impl StdError + Send + Sync + 'static) -> Failure {
        self.failure(reason)
            .detail(one_line(&cause))
            .caused_by(cause)
    }
}

/// Returns whether the name may resolve later. The system's resolver reports it only by its
/// message: glibc's, then musl's.
fn is_temporary(error: &io::Error) -> bool {
    let said = error.to_string().to_lowercase();
    error.kind() == io::ErrorKind::TimedOut
        || said.contains("temporary failure in name resolution")
        || said.ends_with("try again")
}

const NOBODY_LISTENS: &str = "nothing listens there: check the address and the port \
                              (DSQL_HOSTADDR and DSQL_PORT, or Config::address and Config::port), \
                              the service listens on 5432";
