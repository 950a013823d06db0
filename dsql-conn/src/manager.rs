//! Opens and judges connections for bb8.
//!
//! bb8 cannot end a dial that hangs, keeps the slot of one that panics, and tells the cause of a failure to nobody who
//! waits. So each dial is a task of its own here that always comes to an end, and its outcome is published.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::sleep,
};

use crate::{
    backoff::Backoff,
    config::Config,
    connect::{Connector, Progress},
    connection::{Connection, Unfit},
    error::{ConnectError, Error, Reason},
};

/// A [`bb8::ManageConnection`] for an Aurora DSQL cluster.
///
/// [`Pool`](crate::Pool) is built on it. By itself it serves those who want bb8's own pool; keep `test_on_check_out` on, as
/// it is by default, because connections are judged there.
///
/// ```
/// # fn example(config: dsql_conn::Config) {
/// let manager = dsql_conn::ConnectionManager::new(config);
/// let pool = dsql_conn::bb8::Pool::builder().max_size(5).build_unchecked(manager);
/// # }
/// ```
pub struct ConnectionManager {
    pub(crate) dialer: Arc<Dialer>,
}

/// The part of the manager that the pool shares.
pub(crate) struct Dialer {
    pub(crate) connector: Arc<Connector>,
    dials: Mutex<Vec<Dial>>,
    opened: AtomicU64,
    /// How many connections in a row were unfit before they were ever lent.
    stillborn: AtomicU32,
    outcome: watch::Sender<Outcome>,
    peers: Mutex<Peers>,
}

/// What one connection tells of the others, which were last heard before it fell silent. By the monotonic clock: a wall clock that
/// is set back would make those suspect, too, that were opened since.
#[derive(Clone, Copy, Default)]
struct Peers {
    /// When a statement was last found unanswered.
    doubted: Option<Instant>,
    /// When a ping was last found unanswered, or its connection dead.
    lost: Option<Instant>,
}

/// A dial under way.
struct Dial {
    deadline: SystemTime,
    progress: Progress,
    task: AbortHandle,
}

/// What has become of the dials so far.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) failures: u64,
    pub(crate) last_failure: Option<ConnectError>,
    /// There will be no more.
    pub(crate) closed: bool,
}

impl ConnectionManager {
    /// Makes a manager. Nothing is opened yet.
    pub fn new(config: Config) -> Self {
        Self {
            dialer: Arc::new(Dialer {
                connector: Arc::new(Connector::new(config)),
                dials: Mutex::default(),
                opened: AtomicU64::new(0),
                stillborn: AtomicU32::new(0),
                outcome: watch::Sender::default(),
                peers: Mutex::default(),
            }),
        }
    }

    pub(crate) fn sharing(dialer: &Arc<Dialer>) -> Self {
        Self {
            dialer: Arc::clone(dialer),
        }
    }
}

impl Dialer {
    /// Opens a connection in a task of its own, which ends with this future, at its deadline, or by a panic: in each case
    /// the caller gets an answer.
    pub(crate) async fn dial(&self) -> Result<Connection, Error> {
        if self.is_closed() {
            return Err(Error::PoolClosed);
        }
        let pause = self.pause();
        let progress = Progress::default();
        let dialing = self.start(pause, progress.clone());
        let _guard = AbortOnDrop(dialing.abort_handle());
        self.enter(progress, dialing.abort_handle(), pause.unwrap_or_default());
        if self.is_closed() {
            // Since the look above: whoever closed did not know of this dial.
            return Err(Error::PoolClosed);
        }

        let error = match dialing.await {
            Ok(Ok(_)) if self.is_closed() => return Err(Error::PoolClosed),
            Ok(Ok(connection)) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                return Ok(connection);
            }
            Ok(Err(error)) => error,
            Err(ended) => {
                let how = match ended.is_panic() {
                    true => "it panicked, which is a bug or a credentials provider's",
                    false => {
                        "its deadline passed while this process was paused, or the pool was closed"
                    }
                };
                let failure = self.connector.failure(Reason::Aborted);
                ConnectError::from(failure.detail(how).caused_by(ended))
            }
        };
        self.outcome.send_modify(|outcome| {
            outcome.failures += 1;
            outcome.last_failure = Some(error.clone());
        });
        Err(error.into())
    }

    /// Not `async`: what opens a connection is compiled here, once, instead of a second time in a crate that awaits a checkout.
    fn start(
        &self,
        pause: Option<Duration>,
        progress: Progress,
    ) -> JoinHandle<Result<Connection, ConnectError>> {
        let connector = Arc::clone(&self.connector);
        tokio::spawn(async move {
            if let Some(pause) = pause {
                sleep(pause).await;
            }
            let session = connector.open(&progress).await?;
            Ok(Connection::new(session, connector))
        })
    }

    /// Finds out whether a connection may be lent: without a round trip if it was used lately.
    ///
    /// After a freeze or a network's outage every connection is due for a sign of life, and mostly they are all dead. Each
    /// would cost a ping's timeout, so that the first one that is found dead speaks for those that were idle as long.
    async fn judge(&self, connection: &mut Connection) -> Result<(), Unfit> {
        let judged = self.judge_as_it_stands(connection).await;
        match judged {
            Ok(()) => {
                connection.proven = true;
                self.stillborn.store(0, Ordering::Relaxed);
            }
            // An older one, kept ready, may have died of anything.
            Err(Unfit::Closed) if !connection.proven && connection.is_newborn() => {
                self.stillborn.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        judged
    }

    async fn judge_as_it_stands(&self, connection: &mut Connection) -> Result<(), Unfit> {
        let now = connection.moment();
        let fit = connection.fit(now).await;
        if fit == Err(Unfit::Unsettled) {
            // A long query that was given up, or a peer that is gone.
            self.peers().doubted = Some(Instant::now());
        }
        fit?;
        let Peers { doubted, lost } = *self.peers();
        let was_before = |then: Option<Instant>| then.is_some_and(|then| connection.seen() <= then);
        if !connection.is_due_for_ping(now) && !was_before(doubted) {
            return Ok(());
        }
        if was_before(lost) {
            return Err(Unfit::Suspect);
        }
        let pinged = connection.ping().await;
        if pinged.is_err() {
            self.peers().lost = Some(Instant::now());
        }
        pinged
    }

    /// How long the next dial waits, if at all. bb8 dials at once for a connection that was found unfit, and a peer that hangs up after
    /// each login would be dialed without end.
    fn pause(&self) -> Option<Duration> {
        let stillborn = self.stillborn.load(Ordering::Relaxed);
        (stillborn > 0).then(|| PAUSE.delay(stillborn, rand::random()))
    }

    fn enter(&self, progress: Progress, task: AbortHandle, pause: Duration) {
        let config = &self.connector.config;
        let deadline = config.now() + pause + config.connect_deadline();
        let mut dials = self.dials();
        dials.retain(|dial| !dial.task.is_finished());
        dials.push(Dial {
            deadline,
            progress,
            task,
        });
    }

    /// What keeps a dial under way from its end: the failure of its last attempt. Of the latest dial that has one.
    pub(crate) fn trouble(&self) -> Option<ConnectError> {
        let dials = self.dials();
        let under_way = dials.iter().rev().filter(|dial| !dial.task.is_finished());
        under_way
            .filter_map(|dial| dial.progress.last_failure())
            .next()
    }

    /// What somebody is told who had a place in the pool and whose time was up before a connection was there.
    pub(crate) fn unfinished(&self) -> ConnectError {
        let said = match self
            .dials()
            .iter()
            .rev()
            .find(|dial| !dial.task.is_finished())
        {
            Some(Dial { progress, .. }) => format!("not open yet, during {progress}"),
            None => "an idle connection had not given a sign of life yet".to_owned(),
        };
        self.connector.failure(Reason::TimedOut).detail(said).into()
    }

    /// Ends the dials whose deadline has passed by the wall clock. Their timers stand still while a Lambda is frozen.
    pub(crate) fn end_overdue(&self) {
        let now = self.connector.config.now();
        for dial in self.dials().iter().filter(|dial| dial.deadline <= now) {
            dial.task.abort();
        }
    }

    /// Opens nothing any more, and judges every connection unfit.
    pub(crate) fn close(&self) {
        self.outcome.send_modify(|outcome| outcome.closed = true);
        for dial in self.dials().iter() {
            dial.task.abort();
        }
    }

    fn is_closed(&self) -> bool {
        self.outcome.borrow().closed
    }

    /// How many dials have succeeded so far.
    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// How many dials have failed so far.
    pub(crate) fn failures(&self) -> u64 {
        self.outcome.borrow().failures
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Outcome> {
        self.outcome.subscribe()
    }

    fn peers(&self) -> MutexGuard<'_, Peers> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dials(&self) -> MutexGuard<'_, Vec<Dial>> {
        self.dials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl bb8::ManageConnection for ConnectionManager {
    type Connection = Connection;
    type Error = Error;

    fn connect(&self) -> impl Future<Output = Result<Connection, Error>> + Send {
        self.dialer.dial()
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        if self.dialer.is_closed() {
            return Err(Error::PoolClosed);
        }
        self.dialer.judge(connection).await.map_err(|unfit| {
            tracing::debug!(%unfit, "connection replaced");
            let failure = self.dialer.connector.failure(Reason::Interrupted);
            ConnectError::from(failure.detail(unfit.to_string())).into()
        })
    }

    /// Only what is seen without waiting: a statement may still be in the driver's queue, so that cleanliness is judged at
    /// the next checkout.
    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.leaves() || connection.is_closed() || self.dialer.is_closed()
    }
}

impl fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionManager")
            .field("config", &self.dialer.connector.config)
            .finish_non_exhaustive()
    }
}

/// Ends a dial that nobody awaits any more.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const PAUSE: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};
