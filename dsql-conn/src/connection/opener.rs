//! Opens connections for one pool or manager, and keeps what they share.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Connection;
use super::health::Checks;
use super::validate::Siblings;
use crate::clock::Moment;
use crate::config::Config;
use crate::connect::{BACKOFF, Connector, Place, Progress, Regions, Tasks};
use crate::endpoint::Endpoint;
use crate::error::{ConfigError, ConnectError, Error};
use crate::reason::Reason;
use crate::telemetry::{Meter, PoolLimits, Server};

pub(crate) struct Opener {
    regions: Regions,
    pub(super) checks: Checks,
    home_siblings: Siblings,
    away_siblings: Siblings,
    /// Cancelled when a pool that closes aborts the connections in use.
    cut_off: CancellationToken,
    /// How many connections in a row ended before they were used.
    unfit_in_a_row: AtomicU32,
}

impl Opener {
    /// Creates an opener for connections in a pool of another crate, or in none.
    pub(crate) fn new(config: Config, checks: Checks) -> Self {
        Self::observed(config, checks, None, None)
    }

    /// Creates an opener for a pool. The pool's name in metrics defaults to its endpoint and
    /// database.
    pub(crate) fn of_pool(
        config: Config,
        checks: Checks,
        name: Option<String>,
        limits: PoolLimits,
    ) -> Self {
        Self::observed(config, checks, name, Some(limits))
    }

    fn observed(
        config: Config,
        checks: Checks,
        name: Option<String>,
        limits: Option<PoolLimits>,
    ) -> Self {
        Self {
            regions: Regions::new(Connector::new(config, name, limits)),
            checks,
            home_siblings: Siblings::default(),
            away_siblings: Siblings::default(),
            cut_off: CancellationToken::new(),
            unfit_in_a_row: AtomicU32::new(0),
        }
    }

    /// Opens a connection. Retries transient failures until the connect deadline.
    pub(crate) async fn open(
        self: &Arc<Self>,
        progress: &Progress,
    ) -> Result<Connection, ConnectError> {
        // Without a pause, this side would dial in a loop if the server closed each connection
        // after its login.
        let unfit = self.unfit_in_a_row.load(Ordering::Relaxed);
        if unfit > 0 {
            sleep(BACKOFF.delay(unfit, rand::random())).await;
        }
        let began = self.now();
        self.look_after_home(began);
        let (opened, place) = self.regions.open(progress).await?;
        self.meter().created(began.monotonic.elapsed());
        Ok(Connection::new(opened, place, Arc::clone(self)))
    }

    /// Tries the home Region in the background, if it failed and it is time to try it again.
    pub(super) fn look_after_home(self: &Arc<Self>, now: Moment) {
        if self.regions.begins_probe(now.wall) {
            let opener = Arc::clone(self);
            drop(tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = opener.cut_off().cancelled() => {}
                    () = opener.regions.probe() => {}
                }
            }));
        }
    }

    /// Returns whether a connection to this Region is to be replaced. `unit` is the connection's
    /// random number from 0 to 1.
    pub(super) fn is_over(&self, place: Place, now: Moment, unit: f64) -> bool {
        self.regions.is_over(place, now.wall, unit)
    }

    /// Returns the failures that the connections to this Region share.
    pub(super) fn siblings(&self, place: Place) -> &Siblings {
        match place {
            Place::Home => &self.home_siblings,
            Place::Peer => &self.away_siblings,
        }
    }

    /// Returns how often the peer Region took over, and how often the home Region took over again.
    pub(crate) fn moves(&self) -> (u64, u64) {
        self.regions.moves()
    }

    /// Returns the attributes of this Region's server.
    pub(super) fn server(&self, place: Place) -> &Server {
        &self.regions.connector(place).server
    }

    /// Returns the attributes of the home Region's server.
    pub(crate) fn home_server(&self) -> &Server {
        &self.regions.home.server
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.regions.home.meter
    }

    pub(super) fn endpoint(&self, place: Place) -> &Endpoint {
        self.regions.connector(place).config.endpoint()
    }

    /// Opens a connection for a caller that is no pool of ours. A panic, of a credentials provider
    /// for example, becomes an error.
    pub(crate) async fn open_alone(self: &Arc<Self>) -> Result<Connection, Error> {
        self.check()?;
        match self.opening().await {
            Ok(opened) => Ok(opened?),
            Err(_panic) => Err(self.aborted(true).into()),
        }
    }

    /// Returns whether the configuration can work at all: only a missing TLS provider is found this
    /// late.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.regions.home.check()
    }

    /// Boxed, so that the opening is compiled here, and not again in each caller's crate.
    fn opening(
        self: &Arc<Self>,
    ) -> BoxFuture<'static, thread::Result<Result<Connection, ConnectError>>> {
        let opener = Arc::clone(self);
        let opening = async move { opener.open(&Progress::default()).await };
        // A lock that the panic poisons is taken all the same.
        AssertUnwindSafe(opening).catch_unwind().boxed()
    }

    /// Returns the error of an opening that ended by itself.
    pub(crate) fn aborted(&self, panicked: bool) -> ConnectError {
        let how = match panicked {
            true => "it panicked, which is a bug here or in a credentials provider",
            false => "its deadline passed while this process was paused, or its runtime ended",
        };
        self.regions
            .home
            .failure(Reason::Aborted)
            .detail(how)
            .into()
    }

    /// Returns the error of an opening that is still in progress when its caller's deadline passes.
    pub(crate) fn unfinished(&self, progress: &Progress) -> ConnectError {
        let detail = format!("not open yet, during {progress}");
        self.regions
            .home
            .failure(Reason::TimedOut)
            .detail(detail)
            .into()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.regions.home.config
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.regions.home.tasks
    }

    pub(crate) fn cut_off(&self) -> &CancellationToken {
        &self.cut_off
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::now(self.config())
    }

    /// Returns how long one opening may take.
    pub(crate) fn open_timeout(&self) -> Duration {
        self.config().connect_deadline()
    }

    /// Counts a connection that could not be used although it was just opened.
    pub(super) fn unfit(&self) {
        self.unfit_in_a_row.fetch_add(1, Ordering::Relaxed);
    }

    /// Resets that count, because a connection could be used.
    pub(super) fn proven(&self) {
        if self.unfit_in_a_row.load(Ordering::Relaxed) != 0 {
            self.unfit_in_a_row.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use dsql_local::LocalCluster;
    use tokio::task::yield_now;

    use super::*;

    async fn opener() -> (LocalCluster, Arc<Opener>) {
        let cluster = LocalCluster::start()
            .await
            .expect("the tests need a PostgreSQL on this machine");
        let config = Config::from_variables(cluster.variables()).unwrap();
        (cluster, Arc::new(Opener::new(config, Checks::default())))
    }

    fn unfit(opener: &Opener) -> u32 {
        opener.unfit_in_a_row.load(Ordering::Relaxed)
    }

    /// bb8 validates none of its dedicated connections.
    #[tokio::test]
    async fn a_connection_dropped_while_open_delays_no_other() {
        let (_cluster, opener) = opener().await;
        drop(opener.open_alone().await.unwrap());
        assert_eq!(unfit(&opener), 0);
        let connection = opener.open_alone().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        connection.abort();
        drop(connection);
        assert_eq!(unfit(&opener), 0);
    }

    #[tokio::test]
    async fn a_connection_that_ends_at_once_delays_the_next() {
        let (cluster, opener) = opener().await;
        let connection = opener.open_alone().await.unwrap();
        cluster.cut_all();
        while !connection.is_closed() {
            yield_now().await;
        }
        // On a slow machine it was opened long ago.
        connection.health().heard(connection.now());
        drop(connection);
        assert_eq!(unfit(&opener), 1);
        drop(opener.open_alone().await.unwrap());
        assert_eq!(unfit(&opener), 0);
    }
}
