//! Records metrics through the facade of the `metrics` crate.
//!
//! The recorder is looked up when a pool is first used. Metrics that every checkout or statement
//! records keep their handles from then on.

mod names;

use std::sync::OnceLock;
use std::time::Instant;

use metrics::{Gauge, Histogram, Label, SharedString, Unit, counter, gauge, histogram};

pub use self::names::OPERATION_DURATION_BOUNDS;
use self::names::{Kind, METRICS};
use super::error_type::ErrorType;
use super::population::{PoolLimits, Population};
use super::{SYSTEM, TARGET};
use crate::cause::Cause;
use crate::error::Discard;
use crate::reason::Reason;

/// The metrics of one pool or manager.
pub(super) struct Instruments {
    pool: SharedString,
    limits: Option<PoolLimits>,
    handles: OnceLock<Handles>,
}

/// The metrics that a warm checkout records.
struct Handles {
    idle: Gauge,
    used: Gauge,
    pending: Gauge,
    wait_time: Histogram,
    use_time: Histogram,
}

impl Instruments {
    pub(super) fn new(pool: &str, limits: Option<PoolLimits>) -> Self {
        Self {
            pool: SharedString::from_shared(pool.into()),
            limits,
            handles: OnceLock::new(),
        }
    }

    pub(super) fn populated(&self, population: Population) {
        let Population {
            idle,
            used,
            waiting,
        } = population;
        let handles = self.handles();
        handles.idle.set(idle as f64);
        handles.used.set(used as f64);
        handles.pending.set(waiting as f64);
    }

    pub(super) fn refreshed(&self, population: Population) {
        self.populated(population);
        self.set_limits();
    }

    pub(super) fn served_at_once(&self) {
        self.handles().wait_time.record(0.0);
    }

    pub(super) fn waited_since(&self, since: Instant) {
        self.handles()
            .wait_time
            .record(since.elapsed().as_secs_f64());
    }

    pub(super) fn used(&self, seconds: f64) {
        self.handles().use_time.record(seconds);
    }

    pub(super) fn created(&self, seconds: f64) {
        let name = "db.client.connection.create_time";
        histogram!(target: TARGET, name, self.labels([])).record(seconds);
    }

    pub(super) fn checkout_timed_out(&self) {
        self.count("db.client.connection.timeouts", []);
    }

    pub(super) fn connect_attempt(&self, region: &str, failed: Option<Reason>) {
        let region = Label::new("dsql.region", region.to_owned());
        match failed {
            None => self.count("dsql.connects", [outcome("opened"), region]),
            Some(reason) => {
                let reason = Label::new("error.type", reason.as_str());
                self.count("dsql.connects", [outcome("failed"), region, reason]);
            }
        }
    }

    pub(super) fn closed(&self, cause: Discard) {
        self.count("dsql.closes", [Label::new("dsql.cause", cause.code())]);
    }

    pub(super) fn retried(&self, cause: Cause) {
        self.count("dsql.retries", [Label::new("dsql.cause", cause.as_str())]);
    }

    pub(super) fn commit_lost(&self, settled: &'static str) {
        self.count("dsql.lost_commits", [outcome(settled)]);
    }

    pub(super) fn moved(&self, region: &str) {
        let region = Label::new("dsql.region", region.to_owned());
        self.count("dsql.failovers", [region]);
    }

    pub(super) fn credentials(&self, failed: Option<Reason>) {
        match failed {
            None => self.count("dsql.credentials.fetches", [outcome("fetched")]),
            Some(reason) => {
                let reason = Label::new("error.type", reason.as_str());
                self.count("dsql.credentials.fetches", [outcome("failed"), reason]);
            }
        }
    }

    pub(super) fn token_signed(&self) {
        self.count("dsql.token.signings", []);
    }

    fn count<const N: usize>(&self, name: &'static str, labels: [Label; N]) {
        self.handles();
        counter!(target: TARGET, name, self.labels(labels)).increment(1);
    }

    /// Returns the handles. Describes the metrics when it makes them: once for each pool, not once
    /// for the process, because a recorder that is installed later needs the descriptions, too.
    fn handles(&self) -> &Handles {
        self.handles.get_or_init(|| {
            describe();
            self.set_limits();
            match self.limits {
                Some(_) => self.pool_handles(),
                None => Handles::none(),
            }
        })
    }

    fn pool_handles(&self) -> Handles {
        let count = |state| {
            let state = Label::new("db.client.connection.state", state);
            gauge!(target: TARGET, "db.client.connection.count", self.labels([state]))
        };
        let pending = "db.client.connection.pending_requests";
        let wait_time = "db.client.connection.wait_time";
        let use_time = "db.client.connection.use_time";
        Handles {
            idle: count("idle"),
            used: count("used"),
            pending: gauge!(target: TARGET, pending, self.labels([])),
            wait_time: histogram!(target: TARGET, wait_time, self.labels([])),
            use_time: histogram!(target: TARGET, use_time, self.labels([])),
        }
    }

    fn set_limits(&self) {
        let Some(PoolLimits { max, min_idle }) = self.limits else {
            return;
        };
        for (name, limit) in [
            ("db.client.connection.max", max),
            ("db.client.connection.idle.max", max),
            ("db.client.connection.idle.min", min_idle),
        ] {
            gauge!(target: TARGET, name, self.labels([])).set(f64::from(limit));
        }
    }

    fn labels<const N: usize>(&self, others: [Label; N]) -> Vec<Label> {
        let pool = Label::new("db.client.connection.pool.name", self.pool.clone());
        [pool].into_iter().chain(others).collect()
    }
}

impl Handles {
    /// Returns handles that record nothing, for connections that are not in a pool of this crate.
    fn none() -> Self {
        Self {
            idle: Gauge::noop(),
            used: Gauge::noop(),
            pending: Gauge::noop(),
            wait_time: Histogram::noop(),
            use_time: Histogram::noop(),
        }
    }
}

fn outcome(outcome: &'static str) -> Label {
    Label::from_static_parts("dsql.outcome", outcome)
}

/// The durations of the operations that have the same attributes.
#[derive(Default)]
pub(super) struct Durations {
    statements: OnceLock<Histogram>,
    commits: OnceLock<Histogram>,
}

/// The attributes of an operation.
pub(super) struct Labels<'a> {
    pub(super) address: &'a str,
    pub(super) port: u16,
    pub(super) namespace: &'a str,
    pub(super) operation: Option<&'static str>,
    pub(super) summary: Option<&'a str>,
}

/// When an operation began.
pub(super) struct Started(Instant);

impl Started {
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }
}

impl Durations {
    pub(super) fn record(
        &self,
        started: Started,
        labels: &Labels<'_>,
        error: Option<ErrorType<'_>>,
    ) {
        let seconds = started.0.elapsed().as_secs_f64();
        if let Some(error) = error {
            return labels.histogram(Some(error)).record(seconds);
        }
        let handle = match labels.operation {
            None => &self.statements,
            Some(_) => &self.commits,
        };
        handle
            .get_or_init(|| labels.histogram(None))
            .record(seconds);
    }
}

impl Labels<'_> {
    fn histogram(&self, error: Option<ErrorType<'_>>) -> Histogram {
        let mut labels = vec![
            Label::from_static_parts("db.system.name", SYSTEM),
            Label::new("db.namespace", self.namespace.to_owned()),
            Label::new("server.address", self.address.to_owned()),
            Label::new("server.port", self.port.to_string()),
        ];
        if let Some(operation) = self.operation {
            labels.push(Label::from_static_parts("db.operation.name", operation));
        }
        if let Some(summary) = self.summary {
            labels.push(Label::new("db.query.summary", summary.to_owned()));
        }
        if let Some(error) = error {
            labels.push(Label::new("error.type", error.name.to_owned()));
            if let Some(code) = error.code {
                let code = code.code().to_owned();
                labels.push(Label::new("db.response.status_code", code));
            }
        }
        histogram!(target: TARGET, "db.client.operation.duration", labels)
    }
}

fn describe() {
    for metric in METRICS {
        let unit = match metric.unit {
            "s" => Unit::Seconds,
            _ => Unit::Count,
        };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.about),
            Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.about),
            Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.about),
        }
    }
}
