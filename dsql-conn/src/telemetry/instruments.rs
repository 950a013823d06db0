//! Records metrics through the facade of the `metrics` crate.
//!
//! The recorder is looked up when a pool is first used. Gauges and histograms keep their handles
//! from then on.

use std::array;
use std::sync::OnceLock;
use std::time::Instant;

use metrics::{Gauge, Histogram, Label, SharedString, Unit, counter, gauge, histogram};

use super::error_type::ErrorType;
use super::metric::{ERROR_TYPE, Kind, METRICS, Metric, POOL};
use super::population::{PoolLimits, Population};
use super::{SYSTEM, TARGET};

/// The metrics of one pool or manager.
pub(super) struct Instruments {
    pool: SharedString,
    limits: Option<PoolLimits>,
    gauges: OnceLock<Gauges>,
    /// By [`Metric`].
    histograms: [OnceLock<Histogram>; METRICS.len()],
}

/// The gauges that a warm checkout sets.
struct Gauges {
    idle: Gauge,
    used: Gauge,
    pending: Gauge,
}

impl Instruments {
    pub(super) fn new(pool: &str, limits: Option<PoolLimits>) -> Self {
        Self {
            pool: SharedString::from_shared(pool.into()),
            limits,
            gauges: OnceLock::new(),
            histograms: array::from_fn(|_| OnceLock::new()),
        }
    }

    /// Adds one to a counter.
    pub(super) fn count(&self, metric: Metric, attributes: &[(&'static str, &str)]) {
        self.gauges();
        counter!(target: TARGET, metric.name(), self.labels(attributes)).increment(1);
    }

    /// Records a time in a histogram that has no attributes.
    pub(super) fn record(&self, metric: Metric, seconds: f64) {
        self.gauges();
        self.histograms[metric as usize]
            .get_or_init(|| histogram!(target: TARGET, metric.name(), self.labels(&[])))
            .record(seconds);
    }

    pub(super) fn populated(&self, population: Population) {
        let Population {
            idle,
            used,
            waiting,
        } = population;
        let gauges = self.gauges();
        gauges.idle.set(idle as f64);
        gauges.used.set(used as f64);
        gauges.pending.set(waiting as f64);
    }

    pub(super) fn refreshed(&self, population: Population) {
        self.populated(population);
        self.set_limits();
    }

    /// Returns the gauges. Describes the metrics when it makes them: once for each pool, not once
    /// for the process, because a recorder that is installed later needs the descriptions, too.
    fn gauges(&self) -> &Gauges {
        self.gauges.get_or_init(|| {
            describe();
            self.set_limits();
            match self.limits {
                Some(_) => Gauges {
                    idle: self.connections("idle"),
                    used: self.connections("used"),
                    pending: self.gauge(Metric::Pending, &[]),
                },
                // Connections that are not in a pool of this crate.
                None => Gauges {
                    idle: Gauge::noop(),
                    used: Gauge::noop(),
                    pending: Gauge::noop(),
                },
            }
        })
    }

    fn connections(&self, state: &str) -> Gauge {
        let state = [("db.client.connection.state", state)];
        self.gauge(Metric::Connections, &state)
    }

    fn set_limits(&self) {
        let Some(PoolLimits { max, min_idle }) = self.limits else {
            return;
        };
        for (metric, limit) in [
            (Metric::Max, max),
            (Metric::MaxIdle, max),
            (Metric::MinIdle, min_idle),
        ] {
            self.gauge(metric, &[]).set(f64::from(limit));
        }
    }

    fn gauge(&self, metric: Metric, attributes: &[(&'static str, &str)]) -> Gauge {
        gauge!(target: TARGET, metric.name(), self.labels(attributes))
    }

    fn labels(&self, attributes: &[(&'static str, &str)]) -> Vec<Label> {
        let pool = Label::new(POOL, self.pool.clone());
        let attributes = attributes.iter();
        let attributes = attributes.map(|(name, value)| Label::new(*name, (*value).to_owned()));
        [pool].into_iter().chain(attributes).collect()
    }
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
            labels.push(Label::new(ERROR_TYPE, error.name.to_owned()));
            if let Some(code) = error.code {
                let code = code.code().to_owned();
                labels.push(Label::new("db.response.status_code", code));
            }
        }
        histogram!(target: TARGET, Metric::Duration.name(), labels)
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
