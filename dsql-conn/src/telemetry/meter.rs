//! Counts what a pool or a manager does: for [`Stats`](crate::Stats), and for the metrics if the
//! feature is on.

use std::array;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::event;
use super::instruments::Instruments;
use super::metric::{CAUSE, ERROR_TYPE, Metric, OUTCOME, REGION};
use super::population::{PoolLimits, Population};
use crate::cause::Cause;
use crate::error::Discard;
use crate::outcomes::{Outcome, OutcomeId};
use crate::reason::Reason;

/// The counters of one pool or manager.
pub(crate) struct Meter {
    pool: String,
    pub(crate) opened: Counter,
    pub(crate) failed: Counter,
    pub(crate) failed_attempts: [Counter; Reason::ALL.len()],
    pub(crate) closed: [Counter; Discard::ALL.len()],
    pub(crate) waited: Counter,
    pub(crate) wait_time: Time,
    pub(crate) use_time: Time,
    pub(crate) create_time: Time,
    pub(crate) checkout_timeouts: Counter,
    /// Attempts at transactions that did not commit, by cause.
    pub(crate) met: [Counter; Cause::COUNT],
    pub(crate) lost_commits: Counter,
    pub(crate) settled_committed: Counter,
    pub(crate) settled_rolled_back: Counter,
    pub(crate) credentials_fetched: Counter,
    pub(crate) credentials_failed: Counter,
    pub(crate) tokens_signed: Counter,
    instruments: Instruments,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

/// A sum of durations.
#[derive(Default)]
pub(crate) struct Time(AtomicU64);

impl Meter {
    /// `limits` are known for this crate's pools only.
    pub(crate) fn new(pool: String, limits: Option<PoolLimits>) -> Self {
        Self {
            instruments: Instruments::new(&pool, limits),
            pool,
            opened: Counter::default(),
            failed: Counter::default(),
            failed_attempts: array::from_fn(|_| Counter::default()),
            closed: array::from_fn(|_| Counter::default()),
            waited: Counter::default(),
            wait_time: Time::default(),
            use_time: Time::default(),
            create_time: Time::default(),
            checkout_timeouts: Counter::default(),
            met: array::from_fn(|_| Counter::default()),
            lost_commits: Counter::default(),
            settled_committed: Counter::default(),
            settled_rolled_back: Counter::default(),
            credentials_fetched: Counter::default(),
            credentials_failed: Counter::default(),
            tokens_signed: Counter::default(),
        }
    }

    /// Returns the pool's name.
    pub(crate) fn pool(&self) -> &str {
        &self.pool
    }

    /// Updates the gauges, because the numbers of the pool have changed.
    pub(crate) fn populated(&self, population: Population) {
        self.instruments.populated(population);
    }

    /// Writes the gauges again, also those that have not changed.
    pub(crate) fn refreshed(&self, population: Population) {
        self.instruments.refreshed(population);
    }

    /// Counts an attempt to open a connection, with the reason if it failed.
    pub(crate) fn connect_attempt(&self, region: &str, failed: Option<Reason>) {
        let region = (REGION, region);
        match failed {
            None => self.count(Metric::Connects, &[(OUTCOME, "opened"), region]),
            Some(reason) => {
                self.failed_attempts[reason as usize].add();
                let error = (ERROR_TYPE, reason.as_str());
                self.count(Metric::Connects, &[(OUTCOME, "failed"), region, error]);
            }
        }
    }

    /// Counts a connection that was opened, and the time that it took.
    pub(crate) fn created(&self, time: Duration) {
        self.create_time.add(time);
        self.record(Metric::CreateTime, time);
    }

    /// Counts a connection that the pool closed.
    pub(crate) fn closed(&self, cause: Discard) {
        event::connection_closed(cause);
        self.closed[cause as usize].add();
        self.count(Metric::Closes, &[(CAUSE, cause.code())]);
    }

    /// Counts a checkout that was served from the queue.
    pub(crate) fn queued(&self, time: Duration) {
        self.waited.add();
        self.wait_time.add(time);
    }

    pub(crate) fn checkout_timed_out(&self) {
        self.checkout_timeouts.add();
        self.count(Metric::Timeouts, &[]);
    }

    /// Adds the time for which a returned connection was checked out.
    pub(crate) fn used(&self, time: Duration) {
        self.use_time.add(time);
        self.record(Metric::UseTime, time);
    }

    /// Counts an attempt at a transaction that did not commit.
    pub(crate) fn met(&self, cause: Cause) {
        self.met[cause as usize].add();
        self.count(Metric::Retries, &[(CAUSE, cause.as_str())]);
    }

    /// Counts a `COMMIT` whose reply was lost, and its outcome in the outcome table, if it was
    /// settled.
    pub(crate) fn commit_lost(&self, id: Option<OutcomeId>, settled: Option<Outcome>) {
        event::commit_lost(id, settled);
        self.lost_commits.add();
        match settled {
            Some(Outcome::Committed) => self.settled_committed.add(),
            Some(Outcome::RolledBack) => self.settled_rolled_back.add(),
            None => {}
        }
        let outcome = settled.map_or(event::UNKNOWN, event::outcome_of);
        self.count(Metric::LostCommits, &[(OUTCOME, outcome)]);
    }

    /// Records that this Region serves new connections from now on.
    pub(crate) fn moved(&self, region: &str, is_home: bool) {
        event::moved(region, is_home);
        self.count(Metric::Failovers, &[(REGION, region)]);
    }

    /// Counts a call of the credentials provider, with the reason if it failed.
    pub(crate) fn credentials(&self, failed: Option<Reason>) {
        match failed {
            None => {
                self.credentials_fetched.add();
                self.count(Metric::Fetches, &[(OUTCOME, "fetched")]);
            }
            Some(reason) => {
                self.credentials_failed.add();
                let error = (ERROR_TYPE, reason.as_str());
                self.count(Metric::Fetches, &[(OUTCOME, "failed"), error]);
            }
        }
    }

    pub(crate) fn token_signed(&self) {
        self.tokens_signed.add();
        self.count(Metric::Signings, &[]);
    }

    /// Adds one to a counter of the metrics.
    pub(crate) fn count(&self, metric: Metric, attributes: &[(&'static str, &str)]) {
        self.instruments.count(metric, attributes);
    }

    /// Records a time in a histogram of the metrics.
    pub(crate) fn record(&self, metric: Metric, time: Duration) {
        self.instruments.record(metric, time.as_secs_f64());
    }
}

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Time {
    fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
