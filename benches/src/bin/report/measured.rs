//! The records of the measurements.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use benches::Environment;
use serde::Deserialize;
use serde_json::Value;

/// All records, by name.
pub(crate) struct Measured(BTreeMap<&'static str, Document>);

#[derive(Deserialize)]
struct Document {
    environment: Environment,
    rows: Vec<Row>,
}

/// A row. One that lacks fields was measured in part.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Row(Value);

impl Measured {
    pub(crate) fn read(directory: &Path) -> Self {
        let read = |name: &'static str| {
            let path = directory.join(name).with_extension("json");
            let text = fs::read_to_string(path).ok()?;
            match serde_json::from_str(&text) {
                Ok(document) => Some((name, document)),
                Err(error) => {
                    eprintln!("{name}.json is left out: {error}");
                    None
                }
            }
        };
        Self(NAMES.iter().filter_map(|name| read(name)).collect())
    }

    /// The rows of a measurement; none if it was not made.
    pub(crate) fn rows(&self, name: &str) -> &[Row] {
        self.0.get(name).map_or(&[], |document| &document.rows)
    }

    /// The first row that satisfies the condition.
    pub(crate) fn row(&self, name: &str, is_it: impl Fn(&Row) -> bool) -> Option<&Row> {
        self.rows(name).iter().find(|row| is_it(row))
    }

    /// Measurements by the environment in which they were made; usually there is one.
    pub(crate) fn environments(&self) -> Vec<(&Environment, Vec<&'static str>)> {
        let mut found: Vec<(&Environment, Vec<_>)> = Vec::new();
        for (name, document) in &self.0 {
            let environment = &document.environment;
            match found.iter_mut().find(|(known, _)| *known == environment) {
                Some((_, names)) => names.push(*name),
                None => found.push((environment, vec![name])),
            }
        }
        found
    }

    /// The measurements that were not made.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let is_missing = |name: &&str| !self.0.contains_key(name);
        NAMES.iter().copied().filter(is_missing).collect()
    }
}

impl Row {
    /// A number, by its name or a dotted path.
    pub(crate) fn number(&self, path: &str) -> Option<f64> {
        self.value(path)?.as_f64()
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or("")
    }

    pub(crate) fn is(&self, name: &str, expected: &str) -> bool {
        self.text(name) == expected
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A list of pairs of numbers.
    pub(crate) fn pairs(&self, name: &str) -> Vec<(f64, f64)> {
        let pairs = self.0.get(name).and_then(Value::as_array);
        let pair = |pair: &Value| Some((pair.get(0)?.as_f64()?, pair.get(1)?.as_f64()?));
        pairs.into_iter().flatten().filter_map(pair).collect()
    }

    fn value(&self, path: &str) -> Option<&Value> {
        path.split('.')
            .try_fold(&self.0, |value, name| value.get(name))
    }
}

const NAMES: &[&str] = &[
    "cold_start",
    "instructions",
    "checkout",
    "query",
    "transaction",
    "sign",
    "storm",
    "cpu",
    "telemetry",
    "fairness",
    "scale",
];
