//! Decides whether a connection is admitted, by the connection rate, the number of connections, and
//! whether the cluster is awake. `login` calls it. The defaults are the service's quotas.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::refusal::Refusal;

/// What wakes a sleeping cluster up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakeUp {
    /// This many refused connections.
    Refusals(usize),
    /// This much time after the first refused connection.
    Time(Duration),
}

/// The limits for connections.
#[derive(Debug, Clone)]
pub(crate) struct Quotas {
    pub(crate) burst: u32,
    pub(crate) per_second: u32,
    pub(crate) connections: usize,
    pub(crate) wake_up: WakeUp,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            burst: 1_000,
            per_second: 100,
            connections: 10_000,
            wake_up: WakeUp::Refusals(1),
        }
    }
}

/// Admits connections to a cluster.
#[derive(Debug)]
pub(crate) struct Admission {
    quotas: Quotas,
    state: Mutex<State>,
    open: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct State {
    burst: u32,
    per_second: u32,
    /// The token bucket of the connection rate, and when it was last filled.
    tokens: f64,
    filled: Duration,
    sleep: Sleep,
}

#[derive(Debug, Clone, Copy)]
enum Sleep {
    Awake,
    Asleep,
    Waking { refusals: usize, since: Duration },
}

impl Admission {
    pub(crate) fn new(quotas: Quotas) -> Self {
        Self {
            state: Mutex::new(State {
                burst: quotas.burst,
                per_second: quotas.per_second,
                tokens: f64::from(quotas.burst),
                filled: Duration::ZERO,
                sleep: Sleep::Awake,
            }),
            quotas,
            open: Arc::default(),
        }
    }

    /// Counts an attempt to connect, and refuses it if the rate is exceeded or the cluster sleeps.
    pub(crate) fn count_attempt(&self, now: Duration) -> Result<(), Refusal> {
        let mut state = self.state();
        self.take_token(&mut state, now)?;
        let (refusals, since) = match state.sleep {
            Sleep::Awake => return Ok(()),
            Sleep::Asleep => (0, now),
            Sleep::Waking { refusals, since } => (refusals, since),
        };
        let awake = match self.quotas.wake_up {
            WakeUp::Refusals(enough) => refusals >= enough,
            WakeUp::Time(enough) => refusals > 0 && now.saturating_sub(since) >= enough,
        };
        if awake {
            state.sleep = Sleep::Awake;
            return Ok(());
        }
        state.sleep = Sleep::Waking {
            refusals: refusals + 1,
            since,
        };
        Err(Refusal::WakingUp)
    }

    /// Takes a slot for a connection that has logged in.
    pub(crate) fn admit(&self) -> Result<Slot, Refusal> {
        self.open
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |open| {
                (open < self.quotas.connections).then_some(open + 1)
            })
            .map_err(|_| Refusal::TooManyConnections)?;
        Ok(Slot {
            open: self.open.clone(),
        })
    }

    /// Puts the cluster to sleep.
    pub(crate) fn sleep(&self) {
        self.state().sleep = Sleep::Asleep;
    }

    /// Changes the burst and the rate per second.
    pub(crate) fn throttle(&self, burst: u32, per_second: u32) {
        let mut state = self.state();
        state.burst = burst;
        state.per_second = per_second;
        state.tokens = state.tokens.min(f64::from(burst));
    }

    fn take_token(&self, state: &mut State, now: Duration) -> Result<(), Refusal> {
        let since = now.saturating_sub(state.filled).as_secs_f64();
        let filled = state.tokens + since * f64::from(state.per_second);
        state.tokens = filled.min(f64::from(state.burst));
        state.filled = state.filled.max(now);
        if state.tokens < 1.0 {
            return Err(Refusal::RateExceeded);
        }
        state.tokens -= 1.0;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts as an open connection until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    open: Arc<AtomicUsize>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_the_rate_per_second() {
        let admission = Admission::new(Quotas::default());
        let admitted = |now| {
            (0..2_000)
                .filter(|_| admission.count_attempt(now).is_ok())
                .count()
        };
        assert_eq!(admitted(Duration::ZERO), 1_000);
        assert_eq!(admitted(Duration::from_millis(500)), 50);
        assert_eq!(admitted(Duration::from_millis(505)), 0);
        assert_eq!(admitted(Duration::from_millis(510)), 1);
        assert_eq!(admitted(Duration::from_secs(3_600)), 1_000);
        assert_eq!(
            admission.count_attempt(Duration::ZERO),
            Err(Refusal::RateExceeded)
        );
    }

    #[test]
    fn a_sleeping_cluster_is_woken_by_a_refusal() {
        let second = Duration::from_secs(1);
        for (wake_up, expected) in [
            (WakeUp::Refusals(0), [true, true, true]),
            (WakeUp::Refusals(2), [false, false, true]),
            (WakeUp::Time(2 * second), [false, false, true]),
            (WakeUp::Time(Duration::ZERO), [false, true, true]),
        ] {
            let admission = Admission::new(Quotas {
                wake_up,
                ..Quotas::default()
            });
            assert_eq!(admission.count_attempt(100 * second), Ok(()));
            admission.sleep();
            let admitted = [1, 2, 3].map(|now| admission.count_attempt(now * second).is_ok());
            assert_eq!(admitted, expected, "{wake_up:?}");
        }
    }
}
