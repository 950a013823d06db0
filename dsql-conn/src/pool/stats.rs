//! Counts what a pool does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Pool;
use crate::error::Discard;
use crate::retry::Cause;

/// A snapshot of a pool. Counters count from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The maximum number of connections.
    pub max_size: u32,
    /// Open connections.
    pub connections: u32,
    /// Of those, ready for a checkout.
    pub idle: u32,
    /// Of those, checked out, or returned with a statement still in flight.
    pub in_use: u32,
    /// Connections that are being opened.
    pub opening: u32,
    /// Checkouts that wait.
    pub waiting: u32,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub failed: u64,
    /// Connections that were closed, for any reason.
    pub closed: u64,
    /// The reasons. A connection that ended and was not noticed yet is not among them.
    pub closed_by: ClosedBy,
    /// Checkouts that had to wait in the queue.
    pub waited: u64,
    /// How long those waited, in total.
    pub wait_time: Duration,
    /// Checkouts that reached their deadline.
    pub checkout_timeouts: u64,
    /// Attempts at a transaction that met a conflict with another writer (OC000).
    pub data_conflicts: u64,
    /// Attempts at a transaction that met a schema change (OC001).
    pub schema_conflicts: u64,
    /// Attempts at a transaction that lost their connection before `COMMIT`.
    pub lost_connections: u64,
    /// `COMMIT`s that were sent and not answered.
    pub unknown_commits: u64,
}

/// Closed connections by reason: see [`Discard`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClosedBy([u64; Discard::ALL.len()]);

impl ClosedBy {
    /// How many connections were closed for this reason.
    pub fn count(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL.into_iter().zip(self.0)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    opened: AtomicU64,
    failed: AtomicU64,
    closed: [AtomicU64; Discard::ALL.len()],
    waited: AtomicU64,
    wait_nanos: AtomicU64,
    checkout_timeouts: AtomicU64,
    data_conflicts: AtomicU64,
    schema_conflicts: AtomicU64,
    lost_connections: AtomicU64,
    unknown_commits: AtomicU64,
}

impl Counters {
    pub(super) fn opened(&self) {
        add(&self.opened);
    }

    pub(super) fn failed(&self) {
        add(&self.failed);
    }

    pub(super) fn discarded(&self, reason: Discard) {
        add(&self.closed[reason as usize]);
    }

    pub(super) fn waited(&self, time: Duration) {
        add(&self.waited);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.wait_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(super) fn checkout_timed_out(&self) {
        add(&self.checkout_timeouts);
    }

    /// An attempt at a transaction did not commit.
    pub(super) fn met(&self, cause: Cause) {
        match cause {
            Cause::Data => add(&self.data_conflicts),
            Cause::Schema => add(&self.schema_conflicts),
            Cause::Lost => add(&self.lost_connections),
            Cause::Unknown => add(&self.unknown_commits),
            Cause::StalePlan | Cause::Unavailable => {}
        }
    }
}

impl Pool {
    /// Returns a snapshot of the pool.
    pub fn stats(&self) -> Stats {
        let (counters, slots) = (&self.0.counters, self.0.lock());
        let ended = slots.idle.iter().filter(|idle| idle.is_closed()).count();
        let (connections, idle) = (slots.open.len() - ended, slots.idle.len() - ended);
        let closed_by = ClosedBy(std::array::from_fn(|at| read(&counters.closed[at])));
        Stats {
            max_size: self.0.settings.max_size,
            connections: count(connections),
            idle: count(idle),
            in_use: count(connections.saturating_sub(idle)),
            opening: count(slots.openings.len()),
            waiting: count(slots.waiting()),
            opened: read(&counters.opened),
            failed: read(&counters.failed),
            closed: closed_by.iter().map(|(_, count)| count).sum::<u64>() + ended as u64,
            closed_by,
            waited: read(&counters.waited),
            wait_time: Duration::from_nanos(read(&counters.wait_nanos)),
            checkout_timeouts: read(&counters.checkout_timeouts),
            data_conflicts: read(&counters.data_conflicts),
            schema_conflicts: read(&counters.schema_conflicts),
            lost_connections: read(&counters.lost_connections),
            unknown_commits: read(&counters.unknown_commits),
        }
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
