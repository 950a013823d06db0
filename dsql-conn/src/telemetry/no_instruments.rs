//! Replaces the instruments without the feature `metrics`: the calls compile to nothing.

use super::error_type::ErrorType;
use super::metric::Metric;
use super::population::{PoolLimits, Population};

pub(super) struct Instruments;

impl Instruments {
    pub(super) fn new(_pool: &str, _limits: Option<PoolLimits>) -> Self {
        Self
    }

    pub(super) fn count(&self, _metric: Metric, _attributes: &[(&'static str, &str)]) {}
    pub(super) fn record(&self, _metric: Metric, _seconds: f64) {}
    pub(super) fn populated(&self, _population: Population) {}
    pub(super) fn refreshed(&self, _population: Population) {}
}

#[derive(Default)]
pub(super) struct Durations {}

impl Durations {
    pub(super) fn record(
        &self,
        _started: Started,
        _labels: &Labels<'_>,
        _error: Option<ErrorType<'_>>,
    ) {
    }
}

/// Reads no clock.
pub(super) struct Started;

impl Started {
    pub(super) fn now() -> Self {
        Self
    }
}

#[expect(dead_code, reason = "the instruments of the feature `metrics` read it")]
pub(super) struct Labels<'a> {
    pub(super) address: &'a str,
    pub(super) port: u16,
    pub(super) namespace: &'a str,
    pub(super) operation: Option<&'static str>,
    pub(super) summary: Option<&'a str>,
}
