//! Statistics of many measured times, and the CPU time of a thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The times of one repeated operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn extend(&mut self, others: impl IntoIterator<Item = Duration>) {
        self.0.extend(others);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the quantile, for a share from 0 to 1.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        let index = rank.clamp(1, sorted.len().max(1)) - 1;
        sorted.get(index).copied().unwrap_or_default()
    }

    /// Returns the quantiles that draw the distribution, as pairs of share and microseconds; finer
    /// towards the tail.
    pub(crate) fn distribution(&self) -> Vec<(f64, f64)> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let whole = (0..=98).map(|percent| f64::from(percent) / 100.0);
        let tail = (0..=20).map(|step| 0.99 + f64::from(step) / 2_000.0);
        whole
            .chain(tail)
            .filter_map(|share| {
                let last = sorted.len().checked_sub(1)?;
                Some((
                    share,
                    micros(sorted[(share * last as f64).round() as usize]),
                ))
            })
            .collect()
    }
}

/// Microseconds, with a fraction.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Nanoseconds, with a fraction.
pub(crate) fn nanos(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// The CPU time of this thread so far.
pub(crate) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a CPU time is not negative")
}
