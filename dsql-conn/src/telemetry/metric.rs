//! Every metric, with its unit, its attributes and its meaning.
//!
//! A new one is a variant and a row here, and the call that counts or records it, on
//! [`Meter`](super::Meter).

/// A metric. Its description is in [`METRICS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "metrics"),
    expect(dead_code, reason = "the gauges are in the instruments of the feature")
)]
pub(crate) enum Metric {
    Duration,
    Connections,
    MaxIdle,
    MinIdle,
    Max,
    Pending,
    Timeouts,
    CreateTime,
    WaitTime,
    UseTime,
    Connects,
    Closes,
    Retries,
    LostCommits,
    Failovers,
    Fetches,
    Signings,
}

/// The bounds of the buckets for `db.client.operation.duration`, in seconds, as the [conventions](
/// https://github.com/open-telemetry/semantic-conventions/blob/v1.44.0/docs/db/database-metrics.md)
/// advise. Pass them to an exporter that has buckets.
///
/// ```
/// use dsql_conn::OPERATION_DURATION_BOUNDS;
///
/// assert!(OPERATION_DURATION_BOUNDS.is_sorted());
/// ```
#[cfg(feature = "metrics")]
pub const OPERATION_DURATION_BOUNDS: [f64; 9] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The description of a metric, as the recorder gets it.
#[cfg(feature = "metrics")]
pub(super) struct Description {
    metric: Metric,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) unit: &'static str,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the documentation is made from it")
    )]
    pub(super) attributes: &'static [&'static str],
    pub(super) about: &'static str,
}

#[cfg(feature = "metrics")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    /// The conventions' up-down counter.
    Gauge,
    Histogram,
}

pub(super) const CAUSE: &str = "dsql.cause";
pub(super) const ERROR_TYPE: &str = "error.type";
pub(super) const OUTCOME: &str = "dsql.outcome";
#[cfg(feature = "metrics")]
pub(super) const POOL: &str = "db.client.connection.pool.name";
pub(super) const REGION: &str = "dsql.region";

/// In the order of [`Metric`].
#[cfg(feature = "metrics")]
pub(super) const METRICS: [Description; 17] = [
    Description {
        metric: Metric::Duration,
        name: "db.client.operation.duration",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[
            "db.system.name",
            "db.namespace",
            "server.address",
            "server.port",
            "db.operation.name",
            "db.query.summary",
            ERROR_TYPE,
            "db.response.status_code",
        ],
        about: "Duration of a statement, or of the COMMIT of a transaction.",
    },
    Description {
        metric: Metric::Connections,
        name: "db.client.connection.count",
        kind: Kind::Gauge,
        unit: "{connection}",
        attributes: &[POOL, "db.client.connection.state"],
        about: "Open connections: idle, or used.",
    },
    Description {
        metric: Metric::MaxIdle,
        name: "db.client.connection.idle.max",
        kind: Kind::Gauge,
        unit: "{connection}",
        attributes: &[POOL],
        about: "The maximum number of idle connections: that of all connections.",
    },
    Description {
        metric: Metric::MinIdle,
        name: "db.client.connection.idle.min",
        kind: Kind::Gauge,
        unit: "{connection}",
        attributes: &[POOL],
        about: "The number of idle connections that are kept ready.",
    },
    Description {
        metric: Metric::Max,
        name: "db.client.connection.max",
        kind: Kind::Gauge,
        unit: "{connection}",
        attributes: &[POOL],
        about: "The maximum number of connections.",
    },
    Description {
        metric: Metric::Pending,
        name: "db.client.connection.pending_requests",
        kind: Kind::Gauge,
        unit: "{request}",
        attributes: &[POOL],
        about: "Checkouts that wait in the queue.",
    },
    Description {
        metric: Metric::Timeouts,
        name: "db.client.connection.timeouts",
        kind: Kind::Counter,
        unit: "{timeout}",
        attributes: &[POOL],
        about: "Checkouts that reached their deadline.",
    },
    Description {
        metric: Metric::CreateTime,
        name: "db.client.connection.create_time",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[POOL],
        about: "Time to open a connection, with the attempts that failed before.",
    },
    Description {
        metric: Metric::WaitTime,
        name: "db.client.connection.wait_time",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[POOL],
        about: "Time to check a connection out; 0 if one was idle and needed no ping.",
    },
    Description {
        metric: Metric::UseTime,
        name: "db.client.connection.use_time",
        kind: Kind::Histogram,
        unit: "s",
        attributes: &[POOL],
        about: "Time from a connection's checkout to its return.",
    },
    Description {
        metric: Metric::Connects,
        name: "dsql.connects",
        kind: Kind::Counter,
        unit: "{attempt}",
        attributes: &[POOL, OUTCOME, REGION, ERROR_TYPE],
        about: "Attempts to open a connection: opened or failed.",
    },
    Description {
        metric: Metric::Closes,
        name: "dsql.closes",
        kind: Kind::Counter,
        unit: "{connection}",
        attributes: &[POOL, CAUSE],
        about: "Connections that the pool closed, by cause.",
    },
    Description {
        metric: Metric::Retries,
        name: "dsql.retries",
        kind: Kind::Counter,
        unit: "{attempt}",
        attributes: &[POOL, CAUSE],
        about: "Attempts at a transaction that met a retryable cause, also the last ones.",
    },
    Description {
        metric: Metric::LostCommits,
        name: "dsql.lost_commits",
        kind: Kind::Counter,
        unit: "{transaction}",
        attributes: &[POOL, OUTCOME],
        about: "COMMITs whose reply was lost: settled as committed or rolled_back, or unknown.",
    },
    Description {
        metric: Metric::Failovers,
        name: "dsql.failovers",
        kind: Kind::Counter,
        unit: "{failover}",
        attributes: &[POOL, REGION],
        about: "How often another Region took over, by the Region that serves then.",
    },
    Description {
        metric: Metric::Fetches,
        name: "dsql.credentials.fetches",
        kind: Kind::Counter,
        unit: "{fetch}",
        attributes: &[POOL, OUTCOME, ERROR_TYPE],
        about: "Calls of the provider of AWS credentials: fetched or failed.",
    },
    Description {
        metric: Metric::Signings,
        name: "dsql.token.signings",
        kind: Kind::Counter,
        unit: "{token}",
        attributes: &[POOL],
        about: "Tokens that were signed.",
    },
];

#[cfg(feature = "metrics")]
impl Metric {
    pub(super) const fn name(self) -> &'static str {
        METRICS[self as usize].name
    }
}

#[cfg(feature = "metrics")]
const _: () = {
    let mut at = 0;
    while at < METRICS.len() {
        assert!(METRICS[at].metric as usize == at, "the order differs");
        at += 1;
    }
};

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;
    use std::path::{Path, PathBuf};
    use std::{env, fs};

    use super::*;

    fn docs() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
    }

    /// The texts in backquotes.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.split('`').skip(1).step_by(2)
    }

    fn find(name: &str) -> Option<&'static Description> {
        METRICS.iter().find(|metric| metric.name == name)
    }

    /// `DSQL_WRITE_OBSERVABILITY=1` writes it.
    #[test]
    fn the_documented_metrics_are_those_of_the_code() {
        const BEGIN: &str = "<!-- metrics, written by a test -->\n";
        const END: &str = "<!-- end of metrics -->";

        let mut table = "| metric | kind | unit | attributes | meaning |\n".to_owned();
        table.push_str("|---|---|---|---|---|\n");
        for metric in METRICS {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let attributes: Vec<_> = metric
                .attributes
                .iter()
                .map(|it| format!("`{it}`"))
                .collect();
            let (name, unit, about) = (metric.name, metric.unit, metric.about);
            let attributes = attributes.join(", ");
            writeln!(
                table,
                "| `{name}` | {kind} | `{unit}` | {attributes} | {about} |"
            )
            .unwrap();
        }
        let path = docs().join("observability.md");
        let page = fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(BEGIN).unwrap();
        let (written, after) = rest.split_once(END).unwrap();
        if env::var_os("DSQL_WRITE_OBSERVABILITY").is_some() {
            let page = format!("{before}{BEGIN}{table}{END}{after}");
            return fs::write(&path, page).unwrap();
        }
        assert!(
            written == table,
            "docs/observability.md differs from the code; DSQL_WRITE_OBSERVABILITY=1 writes it"
        );
    }

    #[test]
    fn errors_are_shown_by_metrics_and_attributes_of_the_code() {
        let page = fs::read_to_string(docs().join("what-went-wrong.md")).unwrap();
        let mut compared = 0;
        for line in page
            .lines()
            .filter_map(|it| it.strip_prefix("- Shown by: "))
        {
            let mut shown: Option<&Description> = None;
            for name in quoted(line) {
                let known = shown.map_or(&[][..], |metric| metric.attributes);
                match find(name) {
                    Some(metric) => shown = Some(metric),
                    // A value has no dot.
                    None => assert!(known.contains(&name) || !name.contains('.'), "{line}"),
                }
            }
            assert!(shown.is_some() || line.starts_with("no metric"), "{line}");
            compared += usize::from(shown.is_some());
        }
        assert!(compared > 30, "only {compared} lines");
    }

    #[test]
    fn statistics_are_compared_with_metrics_of_the_code() {
        let page = fs::read_to_string(docs().join("observability.md")).unwrap();
        let (_, table) = page.split_once("| metric | field of `Stats` |\n").unwrap();
        let rows = table.lines().skip(1).take_while(|row| row.starts_with('|'));
        let cells = rows.map(|row| row.split('|').nth(1).unwrap());
        let names: BTreeSet<_> = cells.flat_map(quoted).collect();
        for name in &names {
            assert!(find(name).is_some(), "{name}");
        }
        // `Stats` has no field for these: durations of statements, and a setting.
        let without = METRICS.map(|metric| metric.name).into_iter();
        let without: Vec<_> = without.filter(|name| !names.contains(name)).collect();
        let expected = [
            "db.client.operation.duration",
            "db.client.connection.idle.min",
        ];
        assert_eq!(without, expected);
    }
}
