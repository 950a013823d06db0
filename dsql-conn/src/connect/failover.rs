//! Decides which of a cluster's two Regions serves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// A Region of the cluster, as the configuration names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Home,
    Peer,
}

/// Which Region serves new connections. All times are by the wall clock, which continues while a
/// sandbox is frozen.
#[derive(Debug, Default)]
pub(super) struct Failover(Mutex<State>);

#[derive(Debug)]
struct State {
    serving: Place,
    /// When the home Region is tried again.
    probe_at: SystemTime,
    is_probing: bool,
    /// The delay between those attempts.
    delay: Duration,
    /// When the home Region last took over again.
    returned: Option<SystemTime>,
    failovers: u64,
    returns: u64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            serving: Place::Home,
            probe_at: SystemTime::UNIX_EPOCH,
            is_probing: false,
            delay: PROBE_EVERY,
            returned: None,
            failovers: 0,
            returns: 0,
        }
    }
}

impl Place {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Home => Self::Peer,
            Self::Peer => Self::Home,
        }
    }
}

impl Failover {
    pub(super) fn serving(&self) -> Place {
        self.lock().serving
    }

    /// Returns how often the peer took over, and how often the home Region took over again.
    pub(super) fn moves(&self) -> (u64, u64) {
        let state = self.lock();
        (state.failovers, state.returns)
    }

    /// Records that a connection was opened in this Region. Returns whether this Region serves from
    /// now on, because the other one failed or was slower. `unit` is random, from 0 to 1.
    pub(super) fn served(&self, place: Place, now: SystemTime, unit: f64) -> bool {
        let mut state = self.lock();
        if state.serving == place {
            return false;
        }
        match place {
            Place::Home => state.go_home(now),
            Place::Peer => state.leave(now, unit),
        }
        true
    }

    /// Returns whether the home Region is to be tried now. The caller reports the result by
    /// [`probed`](Self::probed).
    pub(super) fn begin_probe(&self, now: SystemTime) -> bool {
        let mut state = self.lock();
        // A clock that was set back must not delay the probe for long.
        let is_due = now >= state.probe_at || now + 2 * state.delay < state.probe_at;
        let begins = state.serving == Place::Peer && !state.is_probing && is_due;
        state.is_probing |= begins;
        begins
    }

    /// Records the result of a probe of the home Region. Returns whether the home Region serves
    /// from now on and did not before.
    pub(super) fn probed(&self, answered: bool, now: SystemTime, unit: f64) -> bool {
        let mut state = self.lock();
        state.is_probing = false;
        let returns = answered && state.serving == Place::Peer;
        if returns {
            state.go_home(now);
        } else if !answered {
            state.probe_at = now + jittered(state.delay, unit);
        }
        returns
    }

    /// Returns whether a connection to the peer is to be replaced by one to the home Region. `unit`
    /// is the connection's own, from 0 to 1: it spreads the replacements over [`RETURN_WITHIN`].
    pub(super) fn is_over(&self, now: SystemTime, unit: f64) -> bool {
        let state = self.lock();
        let due = |returned| now >= returned + RETURN_WITHIN.mul_f64(unit);
        state.serving == Place::Home && state.returned.is_some_and(due)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn go_home(&mut self, now: SystemTime) {
        self.serving = Place::Home;
        self.returned = Some(now);
        self.returns += 1;
    }

    /// Moves to the peer. If the home Region fails soon after it took over again, the next probe is
    /// delayed for longer each time, so that an unstable Region does not move the pool back and
    /// forth.
    fn leave(&mut self, now: SystemTime, unit: f64) {
        let stayed = self.returned.map(|at| now.duration_since(at));
        let is_flapping = stayed.is_some_and(|stayed| stayed.unwrap_or_default() < STABLE_AFTER);
        self.delay = match is_flapping {
            true => (self.delay * 2).min(LONGEST_DELAY),
            false => PROBE_EVERY,
        };
        self.serving = Place::Peer;
        self.probe_at = now + jittered(self.delay, unit);
        self.failovers += 1;
    }
}

/// Returns between three quarters and five quarters of a delay.
fn jittered(delay: Duration, unit: f64) -> Duration {
    delay.mul_f64(0.75 + unit / 2.0)
}

const PROBE_EVERY: Duration = Duration::from_secs(4);
const LONGEST_DELAY: Duration = Duration::from_secs(64);
/// A home Region that served for this long has recovered.
const STABLE_AFTER: Duration = Duration::from_secs(120);
/// How long the pool takes to move back.
const RETURN_WITHIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn after(seconds: u64) -> SystemTime {
        START + Duration::from_secs(1_000 + seconds)
    }

    #[test]
    fn the_home_region_is_probed_one_at_a_time() {
        let failover = Failover::default();
        assert!(!failover.begin_probe(after(0)));
        failover.served(Place::Peer, after(0), 0.5);
        assert!(!failover.begin_probe(after(3)));
        assert!(failover.begin_probe(after(4)));
        assert!(!failover.begin_probe(after(9)));
        failover.probed(false, after(9), 0.5);
        assert!(!failover.begin_probe(after(12)));
        assert!(failover.begin_probe(after(13)));
        failover.probed(true, after(14), 0.5);
        assert_eq!(
            (failover.serving(), failover.moves()),
            (Place::Home, (1, 1))
        );
    }

    #[test]
    fn connections_return_within_a_minute() {
        let failover = Failover::default();
        assert!(!failover.is_over(after(0), 0.0));
        failover.served(Place::Peer, after(0), 0.5);
        assert!(!failover.is_over(after(1_000), 0.0));
        failover.served(Place::Home, after(1_000), 0.5);
        assert!(failover.is_over(after(1_000), 0.0));
        assert!(!failover.is_over(after(1_029), 0.5));
        assert!(failover.is_over(after(1_030), 0.5));
        assert!(failover.is_over(after(1_060), 1.0));
    }

    #[test]
    fn a_flapping_home_region_moves_the_pool_rarely() {
        let failover = Failover::default();
        for second in 0..3_600 {
            // The home Region changes between up and down every second.
            let is_up = second % 2 == 0;
            if failover.begin_probe(after(second)) {
                failover.probed(is_up, after(second), 0.5);
            }
            if failover.serving() == Place::Home && !is_up {
                failover.served(Place::Peer, after(second), 0.5);
            }
        }
        let (failovers, _) = failover.moves();
        assert!(failovers <= 3_600 / 64 + 5, "{failovers}");
    }

    #[test]
    fn a_clock_that_is_set_back_delays_no_probe() {
        let failover = Failover::default();
        failover.served(Place::Peer, after(900), 0.5);
        assert!(failover.begin_probe(after(0)));
    }
}
