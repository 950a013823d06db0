//! Opens one connection: credentials, token, address, TLS and login under one deadline, refusals told apart.

mod address;
mod startup;

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout_at},
};
use tokio_postgres::{
    Client,
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    backoff::Backoff,
    config::Config,
    credentials::CredentialsCache,
    driver::{Driver, Drivers},
    error::{ConfigError, ConnectError, Failure, Reason},
    refusal::classify,
    tls::client_config,
    token::Token,
    wire::{Watch, Wire},
};

/// Opens connections for one configuration. Keeps what they share: TLS tickets and credentials.
pub(crate) struct Connector {
    pub(crate) config: Config,
    credentials: CredentialsCache,
    tls: Result<MakeRustlsConnect, ConfigError>,
    pub(crate) drivers: Drivers,
}

/// A session that is ready for its first statement.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    pub(crate) watch: Watch,
    /// Wall-clock time from before the first packet: the service counts from its own first sight.
    pub(crate) opened: SystemTime,
}

impl Connector {
    /// Never fails: what is wrong with the TLS settings is told by the first connection.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            credentials: CredentialsCache::new(config.credentials.clone()),
            tls: client_config(&config.trust).map(MakeRustlsConnect::new),
            drivers: Drivers::default(),
            config,
        }
    }

    /// Opens a connection. Tries again, within the connect timeout, what may succeed a little later.
    pub(crate) async fn open(&self) -> Result<Session, ConnectError> {
        let deadline = Instant::now() + self.config.connect_deadline();
        let phase = Phase::default();
        let mut last = None;
        let mut attempts = 0;
        let mut renewed = false;
        loop {
            attempts += 1;
            let failure = match timeout_at(deadline, self.attempt(&phase)).await {
                Ok(Ok(session)) => return Ok(session),
                Ok(Err(failure)) => failure,
                // What the server kept saying tells more than that the time was up.
                Err(_) => {
                    return Err(last
                        .unwrap_or_else(|| self.timed_out(&phase))
                        .after(attempts)
                        .into());
                }
            };
            let reason = failure.reason();
            if reason.is_about_credentials() {
                // They may have been replaced where they come from.
                self.credentials.forget();
            }
            // Once, because what a fresh signature cannot mend is this machine's clock.
            if reason == Reason::TokenExpired && !renewed {
                renewed = true;
                continue;
            }
            let wait = BACKOFF.delay(attempts, rand::random());
            if !reason.is_transient() || Instant::now() + wait >= deadline {
                return Err(failure.after(attempts).into());
            }
            last = Some(failure);
            sleep(wait).await;
        }
    }

    async fn attempt(&self, phase: &Phase) -> Result<Session, Failure> {
        let tls = self
            .tls
            .clone()
            .map_err(|error| self.because(Reason::Tls, error))?;
        let opened = self.config.now();

        phase.enter(Phase::CREDENTIALS);
        let credentials = self
            .credentials
            .get(opened)
            .await
            .map_err(|error| self.because(Reason::Credentials, error))?;
        let token = Token::sign(&self.config, credentials, opened)
            .await
            .map_err(|error| self.because(Reason::Credentials, error))?;

        phase.enter(Phase::NAME);
        let addresses = self
            .addresses()
            .await
            .map_err(|error| self.because(Reason::NameResolution, error))?;

        phase.enter(Phase::TCP);
        let stream = address::connect(addresses)
            .await
            .map_err(|error| self.because(Reason::Unreachable, error))?;

        self.login(stream, tls, &token, opened, phase).await
    }

    async fn addresses(&self) -> io::Result<Vec<std::net::SocketAddr>> {
        let port = self.config.port;
        match self.config.address {
            Some(address) => Ok(vec![(address, port).into()]),
            None => {
                let host = self.config.endpoint.dialed();
                Ok(tokio::net::lookup_host((host, port)).await?.collect())
            }
        }
    }

    async fn login(
        &self,
        stream: TcpStream,
        mut tls: MakeRustlsConnect,
        token: &Token,
        opened: SystemTime,
        phase: &Phase,
    ) -> Result<Session, Failure> {
        let Ok(rustls) =
            MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, self.config.endpoint.host());
        let (watched, watch) = WatchedTls::new(rustls, phase);
        let settings = startup::settings(&self.config, token);

        phase.enter(Phase::TLS);
        let (client, connection) =
            settings
                .connect_raw(stream, watched)
                .await
                .map_err(|error| {
                    let (reason, said) = classify(&error);
                    let said = said.unwrap_or_else(|| format!("during {phase}"));
                    self.failure(reason).detail(said).caused_by(error)
                })?;
        let watch = watch.take().ok_or_else(|| {
            self.failure(Reason::Protocol)
                .detail("the session started without TLS")
        })?;
        Ok(Session {
            client,
            driver: Driver::spawn(connection, watch.clone(), &self.drivers),
            watch,
            opened,
        })
    }

    fn timed_out(&self, phase: &Phase) -> Failure {
        let timeout = self.config.connect_deadline();
        self.failure(Reason::TimedOut)
            .detail(format!("after {timeout:?}, during {phase}"))
    }

    /// The start of an error about this connector's endpoint and user.
    pub(crate) fn failure(&self, reason: Reason) -> Failure {
        Failure::new(self.config.endpoint.host(), &self.config.user, reason)
    }

    fn because(&self, reason: Reason, cause: impl StdError + Send + Sync + 'static) -> Failure {
        self.failure(reason)
            .detail(cause.to_string())
            .caused_by(cause)
    }
}

/// How far an attempt has come, for the error of one that did not come further.
#[derive(Clone, Default)]
struct Phase(Arc<AtomicU8>);

impl Phase {
    const CREDENTIALS: u8 = 0;
    const NAME: u8 = 1;
    const TCP: u8 = 2;
    const TLS: u8 = 3;
    const LOGIN: u8 = 4;

    fn enter(&self, phase: u8) {
        self.0.store(phase, Ordering::Relaxed);
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.load(Ordering::Relaxed) {
            Self::CREDENTIALS => "fetching AWS credentials",
            Self::NAME => "name resolution",
            Self::TCP => "the TCP connect",
            Self::TLS => "the TLS handshake",
            _ => "the login",
        })
    }
}

type Rustls = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect;
type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// Puts a [`Wire`] around the stream that the TLS handshake yields.
struct WatchedTls {
    rustls: Rustls,
    phase: Phase,
    watch: Handover,
}

/// Where the handshake leaves the [`Watch`] of the stream that it made.
#[derive(Clone, Default)]
struct Handover(Arc<std::sync::Mutex<Option<Watch>>>);

impl Handover {
    fn take(&self) -> Option<Watch> {
        self.0.lock().ok()?.take()
    }
}

impl WatchedTls {
    fn new(rustls: Rustls, phase: &Phase) -> (Self, Handover) {
        let watch = Handover::default();
        let tls = Self {
            rustls,
            phase: phase.clone(),
            watch: watch.clone(),
        };
        (tls, watch)
    }
}

impl TlsConnect<TcpStream> for WatchedTls {
    type Stream = Wire<RustlsStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Stream>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let stream = self.rustls.connect(stream).await?;
            self.phase.enter(Phase::LOGIN);
            let (wire, watch) = Wire::new(stream);
            if let Ok(mut slot) = self.watch.0.lock() {
                *slot = Some(watch);
            }
            Ok(wire)
        })
    }
}

/// Gentle enough for a cluster that admits 100 connections a second, patient enough for one that wakes up.
const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};
