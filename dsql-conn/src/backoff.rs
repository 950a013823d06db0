//! Computes how long to wait before a retry.

use std::time::Duration;

/// Exponential backoff with full jitter: a random delay below a limit that doubles with each
/// attempt.
///
/// Full jitter spreads clients that failed together over the whole interval, so that they do not
/// return together: [Exponential Backoff And
/// Jitter](https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
}

impl Backoff {
    /// Returns the delay after this many failed attempts, for a draw from 0 to 1.
    pub(crate) fn delay(self, attempts: u32, unit: f64) -> Duration {
        let doublings = attempts.saturating_sub(1);
        let most = self
            .base
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.cap);
        most.mul_f64(unit.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff {
        base: Duration::from_millis(10),
        cap: Duration::from_millis(70),
    };

    #[test]
    fn the_limit_doubles_up_to_its_cap() {
        let limits = [1, 2, 3, 4, 5].map(|attempts| BACKOFF.delay(attempts, 1.0).as_millis());
        assert_eq!(limits, [10, 20, 40, 70, 70]);
        assert_eq!(BACKOFF.delay(3, 0.5), Duration::from_millis(20));
    }

    proptest! {
        #[test]
        fn no_draw_passes_the_cap(attempts: u32, unit: f64) {
            prop_assume!(!unit.is_nan());
            prop_assert!(BACKOFF.delay(attempts, unit) <= BACKOFF.cap);
        }
    }
}
