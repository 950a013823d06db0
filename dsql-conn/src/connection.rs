//! One open session, with what it takes to judge whether it may be lent again.

mod schema;
mod statements;

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{
    config::Config,
    connect::{Connector, Progress, Session},
    driver::Driver,
    error::Error,
    wire::{Status, Watch},
};

pub use statements::Query;
use statements::Statements;

/// A connection to the cluster: a [`tokio_postgres::Client`] with its prepared statements and its age.
///
/// `query`, `query_one`, `query_opt` and `execute` remember what they prepared; everything else that the client does is done
/// through `Deref`. Dropping the connection closes it: with a farewell to the server if
/// no answer is due, else by closing the socket.
pub struct Connection {
    // Before the client: the driver must know that it is leaving when the client's drop wakes it.
    driver: Driver,
    client: Client,
    statements: Statements,
    watch: Watch,
    connector: Arc<Connector>,
    opened: SystemTime,
    /// A second opinion on the age, for a wall clock that is set back.
    opened_monotonic: Instant,
    lifetime: Duration,
    /// By the wall clock, which tells for how long it has been idle.
    last_used: SystemTime,
    /// By the monotonic clock, which tells what came before what.
    last_used_monotonic: Instant,
    /// Whether it was ever found fit to be lent.
    pub(crate) proven: bool,
    /// Whether the client may have been used since the connection was last found clean.
    touched: AtomicBool,
}

impl Config {
    /// Opens one connection that belongs to no pool.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dsql_conn::Error> {
    /// let connection = dsql_conn::Config::from_env()?.connect().await?;
    /// connection.batch_execute("CREATE SCHEMA IF NOT EXISTS games").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the reason; it was tried until [`connect_timeout`](Self::connect_timeout) if trying could help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes whatever was opened.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let connector = Arc::new(Connector::new(self.clone()));
        let session = connector.open(&Progress::default()).await?;
        Ok(Connection::new(session, connector))
    }
}

impl Connection {
    pub(crate) fn new(session: Session, connector: Arc<Connector>) -> Self {
        let Session {
            client,
            driver,
            watch,
            opened,
        } = session;
        Self {
            driver,
            client,
            statements: Statements::default(),
            watch,
            opened,
            opened_monotonic: Instant::now(),
            last_used_monotonic: Instant::now(),
            lifetime: jittered(connector.config.max_lifetime, rand::random()),
            last_used: connector.config.now(),
            proven: false,
            touched: AtomicBool::new(false),
            connector,
        }
    }

    /// When the connection is due to be replaced: its share of [`Config::max_lifetime`] after it was opened.
    pub fn expires_at(&self) -> SystemTime {
        self.opened + self.lifetime
    }

    /// Whether the session has ended, for whatever cause.
    pub fn is_closed(&self) -> bool {
        self.watch.is_closed() || self.client.is_closed()
    }

    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Ends the session at once and without a farewell: what it was doing must not go on.
    pub(crate) fn abort(&self) {
        self.driver.abort();
    }

    /// Whether the connection has come to its age. By either clock: the wall clock may be set back, and the monotonic one
    /// stands still while a Lambda is frozen.
    pub(crate) fn is_expired(&self) -> bool {
        let age = self.connector.config.now().duration_since(self.opened);
        let Ok(age) = age else {
            return true; // Opened in what is now the future: its age is anyone's guess.
        };
        age.max(self.opened_monotonic.elapsed()) >= self.lifetime
    }

    /// Whether the connection has come to its age, or will so soon that its successor should be on its way.
    pub(crate) fn is_about_to_expire(&self) -> bool {
        let lead = REPLACEMENT_LEAD.min(self.lifetime / 10);
        self.is_expired() || self.connector.config.now() + lead >= self.expires_at()
    }

    /// Notes that the connection came back. Use proves it alive, unless this process was frozen meanwhile, which shows by the wall
    /// clock's having gone on without the monotonic one: nobody knows on which side of the freeze it was used.
    pub(crate) fn returned(&mut self) {
        let config = &self.connector.config;
        let passed = config.now().duration_since(self.last_used);
        let lived = self.last_used_monotonic.elapsed();
        let was_frozen =
            !passed.is_ok_and(|passed| passed.saturating_sub(lived) < config.ping_after);
        if *self.touched.get_mut() && !was_frozen {
            self.used();
        }
    }

    /// Whether the connection was opened a moment ago.
    pub(crate) fn is_newborn(&self) -> bool {
        self.opened_monotonic.elapsed() < Duration::from_secs(1)
    }

    fn used(&mut self) {
        self.last_used = self.connector.config.now();
        self.last_used_monotonic = Instant::now();
    }

    /// Makes sure that the connection is alive, young and clean. Without I/O if it was left clean.
    pub(crate) async fn fit(&mut self) -> Result<(), Unfit> {
        if self.is_closed() {
            return Err(Unfit::Closed);
        }
        if self.is_expired() {
            return Err(Unfit::Expired);
        }
        match *self.touched.get_mut() {
            true => self.clean().await,
            false => Ok(()),
        }
    }

    /// Waits, for [`Config::settle_timeout`], until nothing is queued, under way or untaken. Returns whether that is so.
    pub(crate) async fn settle(&self) -> bool {
        let patience = self.connector.config.settle_timeout;
        self.sent().await && timeout(patience, self.watch.settled()).await.is_ok()
    }

    /// Waits until nothing is queued: for the driver's task, not for the server. Returns whether that is so.
    pub(crate) async fn sent(&self) -> bool {
        let fence = timeout(FENCE_PATIENCE, self.watch.fence());
        fence.await.is_ok()
    }

    /// Waits for what the last borrower left behind, such as the rollback of a transaction that was dropped.
    async fn clean(&mut self) -> Result<(), Unfit> {
        if !self.settle().await {
            return Err(Unfit::Unsettled);
        }
        if self.is_closed() {
            return Err(Unfit::Closed);
        }
        if self.watch.status() != Status::Idle {
            return Err(Unfit::InTransaction);
        }
        *self.touched.get_mut() = false;
        Ok(())
    }

    /// When the peer last proved to be alive.
    pub(crate) fn seen(&self) -> Instant {
        self.last_used_monotonic
    }

    /// Whether the peer was last heard so long ago that it may be gone unnoticed.
    pub(crate) fn is_due_for_ping(&self) -> bool {
        let config = &self.connector.config;
        let idle = config.now().duration_since(self.last_used);
        !idle.is_ok_and(|idle| idle < config.ping_after)
    }

    /// Asks the peer for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), Unfit> {
        let config = &self.connector.config;
        // Until the answer is there: a checkout that is given up meanwhile must not pass for a sign of life.
        *self.touched.get_mut() = true;
        match timeout(config.ping_timeout, self.client.simple_query("")).await {
            Ok(Ok(_)) => {
                self.used();
                *self.touched.get_mut() = false;
                Ok(())
            }
            Ok(Err(_)) => Err(Unfit::Closed),
            Err(_) => Err(Unfit::Silent),
        }
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.touched.store(true, Ordering::Relaxed);
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        *self.touched.get_mut() = true;
        &mut self.client
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.connector.config.endpoint)
            .field("user", &self.connector.config.user)
            .field("expires_at", &self.expires_at())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Why a connection is not lent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// The session has ended.
    Closed,
    /// It has come to its age.
    Expired,
    /// A statement that its caller gave up is still running, and cannot be cancelled on the server.
    Unsettled,
    /// Its last borrower left a transaction open.
    InTransaction,
    /// The peer did not answer.
    Silent,
    /// Another peer that was idle as long as this one is gone.
    Suspect,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "it was closed",
            Self::Expired => "it came to its age",
            Self::Unsettled => "a statement was left running on it",
            Self::InTransaction => "a transaction was left open on it",
            Self::Silent => "its peer did not answer",
            Self::Suspect => "another one that was idle as long is dead",
        })
    }
}

/// Takes a share off a lifetime, for a draw from 0 to 1.
fn jittered(lifetime: Duration, unit: f64) -> Duration {
    lifetime - lifetime.mul_f64(LIFETIME_JITTER * unit)
}

/// The greatest share of a connection's lifetime that chance takes away: 11 of 55 minutes, so that a thousand clients which
/// started together come back over more than 10.
const LIFETIME_JITTER: f64 = 0.2;

/// How long the driver's task may take for a turn on a machine that is busy. It takes none while somebody leaves rows untaken.
const FENCE_PATIENCE: Duration = Duration::from_millis(500);

/// How long before its age a connection is replaced when it comes back.
const REPLACEMENT_LEAD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_clients_that_started_together_come_back_over_ten_minutes() {
        const LIFETIME: Duration = Duration::from_secs(55 * 60);
        const MINUTE: Duration = Duration::from_secs(60);

        let mut ends: Vec<_> = (0..1_000)
            .map(|_| jittered(LIFETIME, rand::random()))
            .collect();
        ends.sort_unstable();
        assert!(ends[0] >= 44 * MINUTE && ends[999] <= LIFETIME);
        assert!(ends[999] - ends[0] >= 10 * MINUTE);
        // Evenly, they would be 91 a minute; a cluster admits 6,000.
        for from in 44..55 {
            let minute = from * MINUTE..(from + 1) * MINUTE;
            let come = ends.iter().filter(|end| minute.contains(*end)).count();
            assert!((40..160).contains(&come), "{come} in minute {from}");
        }
    }
}
