//! Reads both clocks.

use std::time::{Duration, Instant, SystemTime};

use crate::config::Config;

/// A point in time by both clocks: the wall clock, which continues while a Lambda function is
/// frozen, and the monotonic clock, which cannot be set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) monotonic: Instant,
}

impl Moment {
    pub(crate) fn now(config: &Config) -> Self {
        Self {
            wall: config.now(),
            monotonic: Instant::now(),
        }
    }

    /// Whether less than `limit` has passed since then, by both clocks.
    pub(crate) fn is_within(self, limit: Duration, then: Self) -> bool {
        let lived = self.monotonic.saturating_duration_since(then.monotonic);
        let passed = self.wall.duration_since(then.wall);
        lived < limit && passed.is_ok_and(|passed| passed < limit)
    }
}
