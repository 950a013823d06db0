//! Replaces the instruments without the feature `metrics`: the calls compile to nothing.

use std::time::Instant;

use super::error_type::ErrorType;
use super::population::{PoolLimits, Population};
use crate::cause::Cause;
use crate::error::Discard;
use crate::reason::Reason;

pub(super) struct Instruments;

impl Instruments {
    pub(super) fn new(_pool: &str, _limits: Option<PoolLimits>) -> Self {
        Self
    }

    pub(super) fn populated(&self, _population: Population) {}
    pub(super) fn refreshed(&self, _population: Population) {}
    pub(super) fn served_at_once(&self) {}
    pub(super) fn waited_since(&self, _since: Instant) {}
    pub(super) fn used(&self, _seconds: f64) {}
    pub(super) fn created(&self, _seconds: f64) {}
    pub(super) fn checkout_timed_out(&self) {}
    pub(super) fn connect_attempt(&self, _region: &str, _failed: Option<Reason>) {}
    pub(super) fn closed(&self, _cause: Discard) {}
    pub(super) fn retried(&self, _cause: Cause) {}
    pub(super) fn commit_lost(&self, _outcome: &'static str) {}
    pub(super) fn moved(&self, _region: &str) {}
    pub(super) fn credentials(&self, _failed: Option<Reason>) {}
    pub(super) fn token_signed(&self) {}
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
