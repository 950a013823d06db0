//! Whether another connection gets in: how many come, how many stay, and whether the cluster is
//! awake. `session` asks at each login; the numbers are the service's quotas unless a test has its
//! own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::refusal::Refusal;

/// What brings a sleeping cluster back, once a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WakeUp {
    /// So many refusals, the first included.
    Refusals(usize),
    /// So much time since the first refusal.
    Time(Duration),
}

/// What the gate lets through.
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

/// A cluster's gate.
#[derive(Debug)]
pub(crate) struct Gate {
    quotas: Quotas,
    state: Mutex<State>,
    inside: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct State {
    burst: u32,
    per_second: u32,
    /// Connections that may come at once, and when that was so.
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

impl Gate {
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
            inside: Arc::default(),
        }
    }

    /// Counts a connection that wants in.
    pub(crate) fn knock(&self, now: Duration) -> Result<(), Refusal> {
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

    /// Takes a place for a connection that has logged in.
    pub(crate) fn enter(&self) -> Result<Place, Refusal> {
        self.inside
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |inside| {
                (inside < self.quotas.connections).then_some(inside + 1)
            })
            .map_err(|_| Refusal::TooManyConnections)?;
        Ok(Place {
            inside: self.inside.clone(),
        })
    }

    /// Puts the cluster to sleep.
    pub(crate) fn sleep(&self) {
        self.state().sleep = Sleep::Asleep;
    }

    /// Changes how many connections may come at once, and how many more with each second.
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

/// A connection that is inside, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place {
    inside: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_in_and_then_so_many_a_second() {
        let gate = Gate::new(Quotas::default());
        let let_in = |now| (0..2_000).filter(|_| gate.knock(now).is_ok()).count();
        assert_eq!(let_in(Duration::ZERO), 1_000);
        assert_eq!(let_in(Duration::from_millis(500)), 50);
        assert_eq!(let_in(Duration::from_millis(505)), 0);
        assert_eq!(let_in(Duration::from_millis(510)), 1);
        assert_eq!(let_in(Duration::from_secs(3_600)), 1_000);
        assert_eq!(gate.knock(Duration::ZERO), Err(Refusal::RateExceeded));
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
            let gate = Gate::new(Quotas {
                wake_up,
                ..Quotas::default()
            });
            assert_eq!(gate.knock(100 * second), Ok(()));
            gate.sleep();
            let let_in = [1, 2, 3].map(|now| gate.knock(now * second).is_ok());
            assert_eq!(let_in, expected, "{wake_up:?}");
        }
    }
}
