//! The pool's metrics, on standard output in CloudWatch's [embedded metric
//! format](https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).

use std::env;
use std::io::{Write, stdout};

use metrics_cloudwatch_embedded::{Builder, Collector};
use serde_json::{Deserializer, Value};

use crate::log;

/// The recorder of this process.
pub struct Metrics(&'static Collector);

impl Metrics {
    /// Records from now on. Must run before the pool is made.
    ///
    /// # Errors
    ///
    /// If another recorder is installed already.
    pub fn start() -> Result<Self, lambda_runtime::Error> {
        let function = env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let builder = Builder::new().cloudwatch_namespace("GenerateGame");
        let collector = builder.with_dimension("FunctionName", function).init()?;
        Ok(Self(collector))
    }

    /// Writes what was recorded since the last call. Runs after each invocation, before Lambda
    /// freezes the process.
    pub fn flush(&self) {
        let mut recorded = Vec::new();
        let written = self.0.flush(&mut recorded);
        // Written at once, so that no other line gets between.
        let written = written
            .and_then(|()| stdout().write_all(&chosen(&recorded)?))
            .and_then(|()| stdout().flush());
        if let Err(error) = written {
            log::failure("metrics are missing", None, &error);
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Keeps the documents of the metrics that CloudWatch must create, and of their attributes only
/// those that are dimensions.
///
/// Each metric costs money for each combination of its dimensions. Metrics and attributes that are
/// not on the lists stay in the log, where queries find them.
fn chosen(documents: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for document in Deserializer::from_slice(documents).into_iter::<Value>() {
        let mut document = document?;
        let directive = &mut document["_aws"]["CloudWatchMetrics"][0];
        retain(&mut directive["Metrics"], |metric| &metric["Name"], METRICS);
        if directive["Metrics"] == Value::Array(Vec::new()) {
            continue;
        }
        retain(&mut directive["Dimensions"][0], |name| name, DIMENSIONS);
        serde_json::to_writer(&mut lines, &document)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

fn retain(list: &mut Value, name: impl Fn(&Value) -> &Value, wanted: &[&str]) {
    if let Value::Array(list) = list {
        list.retain(|it| name(it).as_str().is_some_and(|it| wanted.contains(&it)));
    }
}

/// docs/observability.md explains them; `infra/lib/pool-metrics.ts` makes alarms of them.
const METRICS: &[&str] = &[
    "db.client.connection.create_time",
    "db.client.connection.timeouts",
    "db.client.connection.wait_time",
    "dsql.connects",
    "dsql.lost_commits",
    "dsql.retries",
];

const DIMENSIONS: &[&str] = &["FunctionName", "dsql.cause", "dsql.outcome"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_chosen_metrics_and_dimensions_are_documented() {
        let page = include_str!("../../../docs/observability.md");
        let metrics = METRICS.iter().map(|name| format!("\n| `{name}` |"));
        let attributes = DIMENSIONS[1..].iter().map(|name| format!("\n| `{name}` |"));
        for row in metrics.chain(attributes) {
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn metrics_that_are_not_chosen_stay_in_the_log_only() {
        let document = |metrics: Value, dimensions: Value| {
            json!({
                "_aws": { "CloudWatchMetrics": [{
                    "Namespace": "GenerateGame",
                    "Metrics": metrics,
                    "Dimensions": [dimensions],
                }] },
                "dsql.region": "us-east-1",
                "dsql.connects": 1,
            })
        };
        let (ours, other) = (
            json!({ "Name": "dsql.connects" }),
            json!({ "Name": "other" }),
        );
        let recorded = [
            document(json!([other]), json!(["FunctionName"])),
            document(
                json!([other, ours]),
                json!(["FunctionName", "dsql.outcome", "dsql.region"]),
            ),
        ];
        let recorded = recorded.map(|document| document.to_string()).concat();
        let lines = chosen(recorded.as_bytes()).unwrap();
        let line: Value = serde_json::from_slice(&lines).unwrap();
        let expected = document(json!([ours]), json!(["FunctionName", "dsql.outcome"]));
        assert_eq!(line, expected);
    }
}
