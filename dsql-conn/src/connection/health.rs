//! The age of a connection, and when its server last replied.
//!
//! Ages are measured by the wall clock, because the monotonic clock stands still while a Lambda
//! function is frozen. The monotonic clock is used as well, because the wall clock may be set back.

use std::time::{Duration, Instant, SystemTime};

use crate::clock::Moment;

/// The state of a connection that is known without asking its server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health {
    opened: Moment,
    lifetime: Duration,
    /// When the server last replied, as far as that is certain.
    heard: Moment,
    /// The usual round trip; zero if none was measured.
    round_trip: Duration,
}

/// How connections are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checks {
    pub(crate) ping_after: Duration,
    pub(crate) ping_timeout: Duration,
    /// `None` follows the measured round trip.
    pub(crate) hedge_delay: Option<Duration>,
    /// `None` follows the measured round trip.
    pub(crate) settle_timeout: Option<Duration>,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            ping_after: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(1),
            hedge_delay: None,
            settle_timeout: None,
        }
    }
}

impl Health {
    /// `opened` is before the first packet: the service counts the age from the first packet that
    /// it sees. `unit`, from 0 to 1, chooses the jitter of the lifetime.
    pub(crate) fn new(opened: Moment, now: Moment, max_lifetime: Duration, unit: f64) -> Self {
        Self {
            opened,
            lifetime: jittered(max_lifetime, unit),
            heard: now,
            round_trip: Duration::ZERO,
        }
    }

    pub(crate) fn expires_at(&self) -> SystemTime {
        self.opened.wall + self.lifetime
    }

    pub(crate) fn was_opened_after(&self, then: Instant) -> bool {
        self.opened.monotonic > then
    }

    pub(crate) fn is_expired(&self, now: Moment) -> bool {
        let Ok(age) = now.wall.duration_since(self.opened.wall) else {
            // The wall clock was set back since then: the true age is unknown.
            return true;
        };
        let lived = now
            .monotonic
            .saturating_duration_since(self.opened.monotonic);
        age.max(lived) >= self.lifetime
    }

    /// Returns whether a successor should be opened now.
    pub(crate) fn is_near_expiry(&self, now: Moment) -> bool {
        let lead = REPLACEMENT_LEAD.min(self.lifetime / 10);
        self.is_expired(now) || now.wall + lead >= self.expires_at()
    }

    /// Returns how long the connection was unused, by the wall clock. `None` if that clock was set
    /// back.
    pub(crate) fn idle_for(&self, now: Moment) -> Option<Duration> {
        now.wall.duration_since(self.heard.wall).ok()
    }

    pub(crate) fn needs_ping(&self, now: Moment, ping_after: Duration) -> bool {
        self.idle_for(now).is_none_or(|idle| idle >= ping_after)
    }

    /// Returns whether the server last replied before this.
    pub(crate) fn was_heard_before(&self, then: Instant) -> bool {
        self.heard.monotonic <= then
    }

    pub(crate) fn heard(&mut self, now: Moment) {
        self.heard = now;
    }

    /// Records that the connection was used and is returned. That proves that the server replied,
    /// unless the process was frozen meanwhile: the use may have been before the freeze. A freeze
    /// shows as a difference between the clocks, because only the wall clock continues.
    pub(crate) fn used(&mut self, now: Moment, ping_after: Duration) {
        let lived = now
            .monotonic
            .saturating_duration_since(self.heard.monotonic);
        let frozen = self.idle_for(now).map(|idle| idle.saturating_sub(lived));
        if frozen.is_some_and(|frozen| frozen < ping_after) {
            self.heard(now);
        }
    }

    /// Records a measured round trip. One that took far longer than usual counts little, because
    /// something may have blocked this process.
    pub(crate) fn measured(&mut self, sample: Duration) {
        self.round_trip = match self.round_trip.is_zero() {
            true => sample,
            false => (3 * self.round_trip + sample.min(4 * self.round_trip)) / 4,
        };
    }

    /// Returns how long to wait for a reply that needs no work from the server: a few round trips,
    /// and never less than `least`.
    pub(crate) fn patience(&self, least: Duration) -> Duration {
        (self.round_trip * PATIENT_ROUND_TRIPS).max(least)
    }

    /// Returns whether the server replied a moment ago.
    pub(crate) fn was_just_heard(&self, now: Moment) -> bool {
        now.monotonic
            .saturating_duration_since(self.heard.monotonic)
            < Duration::from_secs(1)
    }
}

/// Subtracts a random share from a lifetime.
fn jittered(lifetime: Duration, unit: f64) -> Duration {
    lifetime - lifetime.mul_f64(LIFETIME_JITTER * unit)
}

/// The largest share of a lifetime that jitter subtracts: 11 of 55 minutes. A thousand clients that
/// started together then reconnect over more than 10 minutes.
const LIFETIME_JITTER: f64 = 0.2;

/// How long before its expiry a connection is replaced.
const REPLACEMENT_LEAD: Duration = Duration::from_secs(60);

/// How many usual round trips to wait for a reply. Reconnecting takes five, so waiting longer does
/// not pay.
const PATIENT_ROUND_TRIPS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A connection that was opened at a moment, and that moment.
    fn opened() -> (Health, Moment) {
        let now = Moment {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        };
        (Health::new(now, now, 55 * MINUTE, 0.0), now)
    }

    fn later(then: Moment, wall: Duration, monotonic: Duration) -> Moment {
        Moment {
            wall: then.wall + wall,
            monotonic: then.monotonic + monotonic,
        }
    }

    #[test]
    fn either_clock_lets_a_connection_expire() {
        let (health, now) = opened();
        let nothing = Duration::ZERO;
        assert!(!health.is_expired(later(now, 54 * MINUTE, 54 * MINUTE)));
        assert!(
            health.is_expired(later(now, 55 * MINUTE, nothing)),
            "frozen"
        );
        assert!(
            health.is_expired(later(now, nothing, 55 * MINUTE)),
            "set back"
        );
        let past = Moment {
            wall: now.wall - MINUTE,
            ..now
        };
        assert!(health.is_expired(past), "set back to before it was opened");
    }

    #[test]
    fn use_before_a_freeze_is_no_proof_of_life() {
        let ping_after = MINUTE / 2;
        let (mut health, now) = opened();
        let frozen = later(now, 10 * MINUTE, Duration::from_secs(1));
        health.used(frozen, ping_after);
        assert!(health.needs_ping(frozen, ping_after));
        let awake = later(now, 10 * MINUTE, 10 * MINUTE);
        health.used(awake, ping_after);
        assert!(!health.needs_ping(awake, ping_after));
    }

    #[test]
    fn the_reply_timeout_follows_the_round_trip() {
        const LEAST: Duration = Duration::from_millis(100);
        let (mut health, _) = opened();
        assert_eq!(health.patience(LEAST), LEAST);
        health.measured(Duration::from_millis(250));
        assert_eq!(health.patience(LEAST), Duration::from_secs(1));
        health.measured(Duration::from_secs(60));
        assert!(
            health.patience(LEAST) < Duration::from_secs(2),
            "an outlier"
        );
    }

    #[test]
    fn a_thousand_clients_reconnect_over_ten_minutes() {
        const LIFETIME: Duration = Duration::from_secs(55 * 60);

        let mut ends: Vec<_> = (0..1_000)
            .map(|_| jittered(LIFETIME, rand::random()))
            .collect();
        ends.sort_unstable();
        assert!(ends[0] >= 44 * MINUTE && ends[999] <= LIFETIME);
        assert!(ends[999] - ends[0] >= 10 * MINUTE);
        // Spread evenly, they would be 91 a minute; a cluster admits 6,000.
        for from in 44..55 {
            let minute = from * MINUTE..(from + 1) * MINUTE;
            let reconnects = ends.iter().filter(|end| minute.contains(*end)).count();
            assert!(
                (40..160).contains(&reconnects),
                "{reconnects} in minute {from}"
            );
        }
    }
}
