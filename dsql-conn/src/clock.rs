//! Reads both clocks.

use std::time::{Instant, SystemTime};

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
}
