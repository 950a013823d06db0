//! Counts what a pool does.

use std::time::Duration;

use super::Pool;
use crate::cause::Cause;
use crate::error::Discard;
use crate::reason::Reason;

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
    /// Checkouts that wait in the queue.
    pub waiting: u32,
    /// Connections that were opened.
    pub opened: u64,
    /// Connections that could not be opened.
    pub failed: u64,
    /// Attempts to open a connection that failed, by reason. One opening makes several.
    pub failed_attempts: FailedAttempts,
    /// How long the opened connections took to open, in total, with their failed attempts.
    pub create_time: Duration,
    /// Connections that were closed, for any reason.
    pub closed: u64,
    /// Closed connections by reason. A connection whose end was not noticed yet does not count.
    pub closed_by: ClosedBy,
    /// Checkouts that had to wait in the queue.
    pub waited: u64,
    /// How long those checkouts waited, in total.
    pub wait_time: Duration,
    /// How long connections were checked out, in total. Those in use now do not count.
    pub use_time: Duration,
    /// Checkouts that reached their deadline.
    pub checkout_timeouts: u64,
    /// Attempts at a transaction that met a conflict with another writer (OC000).
    pub data_conflicts: u64,
    /// Attempts at a transaction that met a schema change (OC001).
    pub schema_conflicts: u64,
    /// Attempts at a transaction that lost their connection before `COMMIT`.
    pub lost_connections: u64,
    /// Attempts at a transaction whose prepared statements the server no longer knew.
    pub stale_plans: u64,
    /// Attempts at a transaction for which the server was unavailable.
    pub unavailable: u64,
    /// `COMMIT`s that were sent and not answered, also those that were settled then.
    pub unknown_commits: u64,
    /// Of those, settled by the outcome table as committed.
    pub settled_committed: u64,
    /// Of those, settled by the outcome table as rolled back.
    pub settled_rolled_back: u64,
    /// How often the [`peer`](crate::Config::peer) Region took over.
    pub failovers: u64,
    /// How often the home Region took over again.
    pub returns_home: u64,
    /// How often the provider returned AWS credentials. Keys in the environment do not count.
    pub credentials_fetched: u64,
    /// How often the provider of AWS credentials failed.
    pub credentials_failed: u64,
    /// Tokens that were signed.
    pub tokens_signed: u64,
}

/// Closed connections by reason: see [`Discard`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClosedBy([u64; Discard::ALL.len()]);

impl ClosedBy {
    /// Returns how many connections were closed for this reason.
    pub fn count(&self, reason: Discard) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL.into_iter().zip(self.0)
    }
}

/// Failed attempts to open a connection by [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedAttempts([u64; Reason::ALL.len()]);

impl FailedAttempts {
    /// Returns how many attempts failed for this reason.
    pub fn count(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// The reasons and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.into_iter().zip(self.0)
    }
}

impl Pool {
    /// Returns a snapshot of the pool.
    pub fn stats(&self) -> Stats {
        let (meter, slots) = (self.0.meter(), self.0.lock());
        let ended = slots.idle.iter().filter(|idle| idle.is_closed()).count();
        let (connections, idle) = (slots.open.len() - ended, slots.idle.len() - ended);
        let (failovers, returns_home) = self.0.opener.moves();
        let closed_by = ClosedBy(std::array::from_fn(|at| meter.closed[at].read()));
        let failed_attempts = std::array::from_fn(|at| meter.failed_attempts[at].read());
        let met = |cause| meter.met[cause as usize].read();
        Stats {
            max_size: self.0.settings.max_size,
            connections: count(connections),
            idle: count(idle),
            in_use: count(connections.saturating_sub(idle)),
            opening: count(slots.openings.len()),
            waiting: count(slots.waiting()),
            opened: meter.opened.read(),
            failed: meter.failed.read(),
            failed_attempts: FailedAttempts(failed_attempts),
            create_time: meter.create_time.read(),
            closed: closed_by.iter().map(|(_, count)| count).sum::<u64>() + ended as u64,
            closed_by,
            waited: meter.waited.read(),
            wait_time: meter.wait_time.read(),
            use_time: meter.use_time.read(),
            checkout_timeouts: meter.checkout_timeouts.read(),
            data_conflicts: met(Cause::Data),
            schema_conflicts: met(Cause::Schema),
            lost_connections: met(Cause::Lost),
            stale_plans: met(Cause::StalePlan),
            unavailable: met(Cause::Unavailable),
            unknown_commits: meter.lost_commits.read(),
            settled_committed: meter.settled_committed.read(),
            settled_rolled_back: meter.settled_rolled_back.read(),
            failovers,
            returns_home,
            credentials_fetched: meter.credentials_fetched.read(),
            credentials_failed: meter.credentials_failed.read(),
            tokens_signed: meter.tokens_signed.read(),
        }
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_at_its_own_place() {
        for (at, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
        }
        for (at, reason) in Discard::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at, "{reason:?}");
        }
        let counts = FailedAttempts(std::array::from_fn(|at| at as u64));
        assert_eq!(counts.count(Reason::Credentials), 0);
        assert_eq!(counts.count(Reason::Aborted), counts.0.len() as u64 - 1);
    }
}
