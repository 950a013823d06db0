//! One open session, with what it takes to judge whether it may be lent again.

mod schema;
mod statements;

use std::{
    fmt,
    future::poll_fn,
    ops::{Deref, DerefMut},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{
    config::Config,
    connect::{Connector, Progress, Session},
    driver::Driver,
    error::Error,
    tls,
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
    /// Whether it was found to come to its age as it came back.
    leaves: Option<bool>,
}

/// A point in time by both clocks. Read once for all that is judged at once: that is what a warm checkout spends its time on.
#[derive(Clone, Copy)]
pub(crate) struct Moment {
    wall: SystemTime,
    monotonic: Instant,
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
    /// [`Error::Config`] without a TLS provider; [`Error::Connect`] with the reason: it was tried until [`connect_timeout`](Self::connect_timeout) if trying could help.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes whatever was opened.
    pub async fn connect(&self) -> Result<Connection, Error> {
        tls::check(&self.trust)?;
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
            leaves: None,
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
    fn is_expired(&self, now: Moment) -> bool {
        let Ok(age) = now.wall.duration_since(self.opened) else {
            return true; // Opened in what is now the future: its age is anyone's guess.
        };
        age.max(now.monotonic - self.opened_monotonic) >= self.lifetime
    }

    /// Whether the connection has come to its age, or will so soon that its successor should be on its way.
    fn is_about_to_expire(&self, now: Moment) -> bool {
        let lead = REPLACEMENT_LEAD.min(self.lifetime / 10);
        self.is_expired(now) || now.wall + lead >= self.expires_at()
    }

    /// Notes that the connection comes back, and returns whether it comes to its age. Use proves it alive, unless this process was
    /// frozen meanwhile, which shows by the wall clock's having gone on without the monotonic one: nobody knows on which side of the
    /// freeze it was used.
    pub(crate) fn comes_back(&mut self) -> bool {
        let now = self.moment();
        if *self.touched.get_mut() {
            let passed = now.wall.duration_since(self.last_used);
            let lived = now.monotonic - self.last_used_monotonic;
            let ping_after = self.connector.config.ping_after;
            if passed.is_ok_and(|passed| passed.saturating_sub(lived) < ping_after) {
                self.used(now);
            }
        }
        let leaves = self.is_about_to_expire(now);
        self.leaves = Some(leaves);
        leaves
    }

    /// Whether it comes to its age, as was found when it came back, if it has.
    pub(crate) fn leaves(&mut self) -> bool {
        if self.leaves.is_none() {
            self.comes_back();
        }
        // For this return alone.
        self.leaves.take().unwrap_or_default()
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            wall: self.connector.config.now(),
            monotonic: Instant::now(),
        }
    }

    /// Whether the connection was opened a moment ago.
    pub(crate) fn is_newborn(&self) -> bool {
        self.opened_monotonic.elapsed() < Duration::from_secs(1)
    }

    fn used(&mut self, now: Moment) {
        self.last_used = now.wall;
        self.last_used_monotonic = now.monotonic;
    }

    /// Makes sure that the connection is alive, young and clean. Without I/O if it was left clean.
    pub(crate) async fn fit(&mut self, now: Moment) -> Result<(), Unfit> {
        if self.is_closed() {
            return Err(Unfit::Closed);
        }
        if self.is_expired(now) {
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
        self.sent().await
            && (self.watch.settled().now_or_never().is_some()
                || timeout(patience, self.watch.settled()).await.is_ok())
    }

    /// Waits until nothing is queued: for the driver's task, not for the server. Returns whether that is so.
    pub(crate) async fn sent(&self) -> bool {
        let mut fence = pin!(self.watch.fence());
        // The driver's first turn is mostly enough, and wakes this either way: a timer costs more than the turn.
        let mut turns = 0..1;
        let first_turn = poll_fn(|cx| match fence.as_mut().poll(cx) {
            Poll::Pending if turns.next().is_some() => Poll::Pending,
            polled => Poll::Ready(polled),
        });
        first_turn.await.is_ready() || timeout(FENCE_PATIENCE, fence).await.is_ok()
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
    pub(crate) fn is_due_for_ping(&self, now: Moment) -> bool {
        let idle = now.wall.duration_since(self.last_used);
        !idle.is_ok_and(|idle| idle < self.connector.config.ping_after)
    }

    /// Asks the peer for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), Unfit> {
        let config = &self.connector.config;
        // Until the answer is there: a checkout that is given up meanwhile must not pass for a sign of life.
        *self.touched.get_mut() = true;
        match timeout(config.ping_timeout, self.client.simple_query("")).await {
            Ok(Ok(_)) => {
                let now = self.moment();
                self.used(now);
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
