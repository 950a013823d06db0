//! Opens one connection: credentials, token, address, TLS and login under one deadline, refusals told apart.

mod address;
mod persist;
mod progress;
mod startup;

use std::{
    error::Error as StdError,
    future::Future,
    io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tokio::net::{TcpStream, lookup_host};
use tokio_postgres::{
    Client,
    tls::{MakeTlsConnect, TlsConnect},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use self::{
    persist::{GivenUp, Verdict, persist},
    progress::Phase,
};
use crate::{
    config::Config,
    credentials::{CredentialsCache, MOST_FETCHES},
    driver::{Driver, Drivers},
    error::{ConfigError, ConnectError, Failure, Reason, one_line},
    refusal::classify,
    tls::client_config,
    token::Token,
    wire::{Watch, Wire},
};

pub(crate) use progress::Progress;

/// Opens connections for one configuration. Keeps what they share: TLS tickets and credentials.
pub(crate) struct Connector {
    pub(crate) config: Config,
    credentials: CredentialsCache,
    tls: Result<MakeRustlsConnect, ConfigError>,
    pub(crate) drivers: Drivers,
    /// A server did not want the password that it had been sent with the startup packet.
    password_was_unwanted: AtomicBool,
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
            credentials: CredentialsCache::new(
                config.credentials.clone(),
                // There is time for another fetch after one that hangs.
                config.connect_deadline().mul_f64(0.75),
            ),
            tls: client_config(&config.trust).map(MakeRustlsConnect::new),
            drivers: Drivers::default(),
            password_was_unwanted: AtomicBool::new(false),
            config,
        }
    }

    /// Opens a connection. Tries again, within the connect timeout, what may succeed a little later.
    pub(crate) async fn open(&self, progress: &Progress) -> Result<Session, ConnectError> {
        let were_cached = AtomicBool::new(false);
        let mut renewed = false;
        let mut failed_fetches = 0;
        let attempt = || self.attempt(progress, &were_cached);
        let judge = |failure: &Failure| {
            let reason = failure.reason();
            if reason.is_about_credentials() {
                self.credentials.forget();
                // They may have been replaced where they come from. Once, because what fresh ones cannot mend is this
                // machine's clock, or a permission.
                let may_help = matches!(reason, Reason::TokenExpired | Reason::ClockSkew)
                    || were_cached.load(Ordering::Relaxed);
                if may_help && !mem::replace(&mut renewed, true) {
                    return Verdict::AtOnce;
                }
            }
            match reason {
                Reason::CredentialsUnavailable => failed_fetches += 1,
                _ => failed_fetches = 0,
            }
            match reason.is_transient() && failed_fetches < MOST_FETCHES {
                true => Verdict::Later,
                false => Verdict::Final,
            }
        };
        let timeout = self.config.connect_deadline();
        persist(timeout, progress, attempt, judge)
            .await
            .map_err(|GivenUp| {
                // What the last attempt failed by tells more than that the time was up.
                progress.last_failure().unwrap_or_else(|| {
                    let said = format!("after {timeout:?}, during {progress}");
                    self.failure(Reason::TimedOut).detail(said).into()
                })
            })
    }

    async fn attempt(
        &self,
        progress: &Progress,
        were_cached: &AtomicBool,
    ) -> Result<Session, Failure> {
        let tls = self
            .tls
            .clone()
            .map_err(|error| self.because(Reason::Tls, error))?;
        let opened = self.config.now();

        progress.enter(Phase::Credentials);
        let found = self.credentials.get(opened).await.map_err(|error| {
            let remedy = error.remedy();
            self.because(error.reason(), error).remedy(remedy)
        })?;
        were_cached.store(found.were_cached, Ordering::Relaxed);
        let token = Token::sign(&self.config, found.credentials, opened)
            .await
            .map_err(|error| self.because(Reason::Credentials, error))?;

        progress.enter(Phase::Name);
        let addresses = self
            .addresses()
            .await
            .map_err(|error| match is_temporary(&error) {
                true => self.because(Reason::NameServer, error),
                false => self.because(Reason::NameResolution, error),
            })?;

        let login = async |is_early| {
            progress.enter(Phase::Tcp);
            let stream = self.reach(addresses.clone()).await?;
            let tls = tls.clone();
            self.login(stream, tls, &token, is_early, opened, progress)
                .await
        };
        let may_be_early = || {
            self.config.password_in_startup_flight
                && !self.password_was_unwanted.load(Ordering::Relaxed)
        };
        let is_early = may_be_early();
        let session = login(is_early).await;
        match is_early && session.is_err() && !may_be_early() {
            true => login(false).await,
            false => session,
        }
    }

    async fn reach(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
        address::connect(addresses)
            .await
            .map_err(|error| match error.kind() {
                // It was accepted, and ended before this side knew.
                io::ErrorKind::ConnectionReset => self.because(Reason::Interrupted, error),
                _ => self.because(Reason::Unreachable, error),
            })
    }

    async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let Config { address, port, .. } = self.config;
        if let Some(address) = address {
            return Ok(vec![(address, port).into()]);
        }
        let host = self.config.endpoint.dialed();
        match &self.config.resolver {
            Some(resolve) => resolve(host.to_owned(), port).await,
            None => Ok(lookup_host((host, port)).await?.collect()),
        }
    }

    async fn login(
        &self,
        stream: TcpStream,
        mut tls: MakeRustlsConnect,
        token: &Token,
        is_early: bool,
        opened: SystemTime,
        progress: &Progress,
    ) -> Result<Session, Failure> {
        let Ok(rustls) =
            MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, self.config.endpoint.host());
        let early_password = is_early.then(|| token.as_str().to_owned());
        let (watched, watch) = WatchedTls::new(rustls, early_password, progress);
        let settings = startup::settings(&self.config, token);

        progress.enter(Phase::Tls);
        let connected = settings.connect_raw(stream, watched).await;
        let watch = watch.take();
        if watch.as_ref().is_some_and(Watch::password_was_unwanted) {
            self.password_was_unwanted.store(true, Ordering::Relaxed);
        }
        let (client, connection) = connected.map_err(|error| {
            let (reason, said) = classify(&error, opened);
            let said = said.unwrap_or_else(|| format!("during {progress}"));
            self.failure(reason).detail(said).caused_by(error)
        })?;
        let watch = watch.ok_or_else(|| {
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

    /// The start of an error about this connector's endpoint and user.
    pub(crate) fn failure(&self, reason: Reason) -> Failure {
        Failure::new(self.config.endpoint.host(), &self.config.user, reason)
    }

    fn because(&self, reason: Reason, cause: impl StdError + Send + Sync + 'static) -> Failure {
        self.failure(reason)
            .detail(one_line(&cause))
            .caused_by(cause)
    }
}

/// Whether the name may well resolve a little later. The system's resolver says so only in words: glibc's, then musl's.
fn is_temporary(error: &io::Error) -> bool {
    let said = error.to_string().to_lowercase();
    error.kind() == io::ErrorKind::TimedOut
        || said.contains("temporary failure in name resolution")
        || said.ends_with("try again")
}

type Rustls = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect;
type RustlsStream = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::Stream;

/// Puts a [`Wire`] around the stream that the TLS handshake yields.
struct WatchedTls {
    rustls: Rustls,
    early_password: Option<String>,
    progress: Progress,
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
    fn new(
        rustls: Rustls,
        early_password: Option<String>,
        progress: &Progress,
    ) -> (Self, Handover) {
        let watch = Handover::default();
        let tls = Self {
            rustls,
            early_password,
            progress: progress.clone(),
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
            self.progress.enter(Phase::Login);
            let (wire, watch) = Wire::new(stream, self.early_password.as_deref());
            if let Ok(mut slot) = self.watch.0.lock() {
                *slot = Some(watch);
            }
            Ok(wire)
        })
    }
}
