//! A recorder that keeps every value.
#![cfg(feature = "metrics")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};

/// The recorded values. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorded(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    described: BTreeMap<String, Described>,
    series: BTreeMap<String, Vec<Series>>,
}

/// A metric as it was described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    pub(crate) kind: &'static str,
    pub(crate) unit: Unit,
    pub(crate) about: String,
}

/// The values of one set of labels.
#[derive(Debug, Clone)]
struct Series {
    kind: &'static str,
    labels: BTreeMap<String, String>,
    value: Arc<Value>,
}

/// The sum of a counter, the last value of a gauge, or how many values a histogram has.
#[derive(Debug, Default)]
struct Value(Mutex<f64>);

impl Recorded {
    /// The sum of all series of a metric whose labels have these values.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let state = self.lock();
        let series = state.series.get(name).into_iter().flatten();
        let matching = series.filter(|series| {
            let mut labels = labels.iter();
            labels.all(|label| series.labels.values().any(|value| value == label))
        });
        matching.map(|series| *series.value.0.lock().unwrap()).sum()
    }

    /// The metrics that were recorded: the kind, and the keys of all labels.
    pub(crate) fn metrics(&self) -> BTreeMap<String, (&'static str, BTreeSet<String>)> {
        let state = self.lock();
        let metrics = state.series.iter().map(|(name, series)| {
            let keys = series
                .iter()
                .flat_map(|series| series.labels.keys().cloned());
            (name.clone(), (series[0].kind, keys.collect()))
        });
        metrics.collect()
    }

    pub(crate) fn described(&self) -> BTreeMap<String, Described> {
        self.lock().described.clone()
    }

    /// Returns everything as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        let state = self.lock();
        let series = state.series.iter();
        series.map(|series| format!("{series:?}")).collect()
    }

    fn describe(&self, kind: &'static str, name: KeyName, unit: Option<Unit>, about: SharedString) {
        let described = Described {
            kind,
            unit: unit.expect("a unit"),
            about: about.to_string(),
        };
        self.lock()
            .described
            .insert(name.as_str().to_owned(), described);
    }

    fn register(&self, kind: &'static str, key: &Key) -> Arc<Value> {
        let labels = key.labels();
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
        let labels: BTreeMap<_, _> = labels.collect();
        let mut state = self.lock();
        let series = state.series.entry(key.name().to_owned()).or_default();
        if let Some(known) = series.iter().find(|series| series.labels == labels) {
            return Arc::clone(&known.value);
        }
        let value = Arc::new(Value::default());
        series.push(Series {
            kind,
            labels,
            value: Arc::clone(&value),
        });
        value
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Recorder for Recorded {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.describe("counter", name, unit, about);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.describe("gauge", name, unit, about);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, about: SharedString) {
        self.describe("histogram", name, unit, about);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register("counter", key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register("gauge", key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register("histogram", key))
    }
}

impl CounterFn for Value {
    fn increment(&self, by: u64) {
        *self.0.lock().unwrap() += by as f64;
    }

    fn absolute(&self, value: u64) {
        *self.0.lock().unwrap() = value as f64;
    }
}

impl GaugeFn for Value {
    fn increment(&self, by: f64) {
        *self.0.lock().unwrap() += by;
    }

    fn decrement(&self, by: f64) {
        *self.0.lock().unwrap() -= by;
    }

    fn set(&self, value: f64) {
        *self.0.lock().unwrap() = value;
    }
}

impl HistogramFn for Value {
    fn record(&self, value: f64) {
        assert!(value >= 0.0);
        *self.0.lock().unwrap() += 1.0;
    }
}
