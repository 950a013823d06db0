//! Opens connections for one pool or manager, and keeps what they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Connection;
use super::health::Checks;
use super::validate::Peers;
use crate::clock::Moment;
use crate::config::Config;
use crate::connect::{BACKOFF, Connector, Progress, Tasks};
use crate::error::{ConfigError, ConnectError, Error};
use crate::reason::Reason;

pub(crate) struct Opener {
    connector: Connector,
    pub(super) checks: Checks,
    pub(super) peers: Peers,
    /// Cancelled when a pool that closes aborts the connections in use.
    cut_off: CancellationToken,
    /// How many connections in a row ended before they were used.
    unfit_in_a_row: AtomicU32,
}

impl Opener {
    pub(crate) fn new(config: Config, checks: Checks) -> Self {
        Self {
            connector: Connector::new(config),
            checks,
            peers: Peers::default(),
            cut_off: CancellationToken::new(),
            unfit_in_a_row: AtomicU32::new(0),
        }
    }

    /// Opens a connection. Retries transient failures until the connect deadline.
    pub(crate) async fn open(
        self: &Arc<Self>,
        progress: &Progress,
    ) -> Result<Connection, ConnectError> {
        // Without a pause, a server that closes each connection after its login would be dialed in
        // a loop.
        let unfit = self.unfit_in_a_row.load(Ordering::Relaxed);
        if unfit > 0 {
            sleep(BACKOFF.delay(unfit, rand::random())).await;
        }
        let opened = self.connector.open(progress).await?;
        Ok(Connection::new(opened, Arc::clone(self)))
    }

    /// Opens a connection in a task of its own, so that a panic, of a credentials provider for
    /// example, becomes an error.
    pub(crate) async fn open_in_task(self: &Arc<Self>) -> Result<Connection, Error> {
        self.check()?;
        match self.spawn_open().await {
            Ok(opened) => Ok(opened?),
            Err(ended) => Err(self.aborted(ended.is_panic()).into()),
        }
    }

    /// Whether the configuration can work at all: only a missing TLS provider is found this late.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.connector.check()
    }

    /// Not async, so that the opening is compiled here, and not again in each caller's crate.
    fn spawn_open(self: &Arc<Self>) -> AbortOnDropHandle<Result<Connection, ConnectError>> {
        let opener = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            opener.open(&Progress::default()).await
        }))
    }

    /// The error of an opening that ended by itself.
    pub(crate) fn aborted(&self, panicked: bool) -> ConnectError {
        let how = match panicked {
            true => "it panicked, which is a bug here or in a credentials provider",
            false => "its deadline passed while this process was paused, or its runtime ended",
        };
        self.connector.failure(Reason::Aborted).detail(how).into()
    }

    /// The error of an opening that is still in progress when its caller's deadline passes.
    pub(crate) fn unfinished(&self, progress: &Progress) -> ConnectError {
        let detail = format!("not open yet, during {progress}");
        self.connector
            .failure(Reason::TimedOut)
            .detail(detail)
            .into()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.connector.config
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.connector.tasks
    }

    pub(crate) fn cut_off(&self) -> &CancellationToken {
        &self.cut_off
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::now(self.config())
    }

    /// How long one opening may take.
    pub(crate) fn open_timeout(&self) -> Duration {
        self.config().connect_deadline()
    }

    /// A connection could not be used although it was just opened.
    pub(super) fn unfit(&self) {
        self.unfit_in_a_row.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection could be used.
    pub(super) fn proven(&self) {
        if self.unfit_in_a_row.load(Ordering::Relaxed) != 0 {
            self.unfit_in_a_row.store(0, Ordering::Relaxed);
        }
    }
}
