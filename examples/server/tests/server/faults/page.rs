//! The page that shows the run.

use std::collections::BTreeMap;
use std::fmt::Write;

use opentelemetry_sdk::trace::SpanData;

use super::run::Seen;

/// What happens to the slow request.
pub(crate) const SLOW: &str =
    "a refused connection, a slow network, a conflict, and a lost reply to COMMIT";

pub(crate) fn markdown(seen: &Seen) -> String {
    let mut text = INTRODUCTION.to_owned();
    for step in &seen.steps {
        let status = step.answer.status.as_u16();
        let wait = step.answer.headers.get("retry-after");
        let wait = wait.map_or("", |seconds| seconds.to_str().unwrap());
        let (request, meanwhile) = (step.request, step.meanwhile);
        writeln!(text, "| {meanwhile} | `{request}` | {status} | {wait} |").unwrap();
    }
    text + TRACE + &events(&seen.slow) + METRICS + &values(&seen.metrics) + "```\n"
}

/// The events of the spans, in order.
fn events(spans: &[SpanData]) -> String {
    let start = spans.iter().map(|span| span.start_time).min().unwrap();
    let mut events: Vec<_> = spans
        .iter()
        .flat_map(|span| span.events.iter().map(move |event| (span, event)))
        .collect();
    events.sort_by_key(|(_, event)| event.timestamp);
    let mut rows = String::new();
    for (span, event) in events {
        let at = event.timestamp.duration_since(start).unwrap_or_default();
        let told = event
            .attributes
            .iter()
            .filter(|it| TOLD.contains(&it.key.as_str()));
        let told: Vec<_> = told
            .map(|it| format!("`{}` = {}", it.key, rounded(&it.value.as_str())))
            .collect();
        let (millis, name, told) = (at.as_secs_f64() * 1e3, &event.name, told.join(", "));
        writeln!(rows, "| {millis:.1} | `{}` | {name} | {told} |", span.name).unwrap();
    }
    rows
}

/// The page of metrics without buckets, and in order, which the recorder has not.
fn values(page: &str) -> String {
    let mut blocks = BTreeMap::<_, Vec<_>>::new();
    let mut name = "";
    let lines = page.lines().filter(|line| !line.contains("_bucket{"));
    for line in lines.filter(|line| !line.is_empty()) {
        if let Some(about) = line.strip_prefix("# HELP ") {
            name = about.split(' ').next().unwrap();
        }
        blocks.entry(name).or_default().push(shortened(line));
    }
    for lines in blocks.values_mut() {
        // Behind HELP and TYPE.
        lines[2..].sort_unstable();
    }
    let lines: Vec<_> = blocks.into_values().flatten().collect();
    lines.join("\n") + "\n"
}

/// The line with the service's port, and seconds to a tenth of a millisecond.
fn shortened(line: &str) -> String {
    let Some((series, value)) = line.rsplit_once(' ').filter(|_| !line.starts_with('#')) else {
        return line.to_owned();
    };
    let value = rounded(value);
    match series.split_once("server_port=\"") {
        None => format!("{series} {value}"),
        Some((before, rest)) => {
            let (_port, after) = rest.split_once('"').unwrap();
            format!("{before}server_port=\"5432\"{after} {value}")
        }
    }
}

/// A number with at most four decimals.
fn rounded(value: &str) -> String {
    match value.parse::<f64>() {
        Ok(number) if value.contains('.') => format!("{number:.4}"),
        _ => value.to_owned(),
    }
}

/// The page without what differs each time: values, and times and counts of events.
pub(crate) fn without_figures(page: &str) -> Vec<&str> {
    let differs = |line: &&str| {
        let is_value = line.contains('{') && !line.starts_with(['#', '|']);
        is_value || line.starts_with("| ") && line[2..].starts_with(|it: char| it.is_ascii_digit())
    };
    page.lines().filter(|line| !differs(line)).collect()
}

/// The attributes of events that tell the most.
const TOLD: [&str; 6] = [
    "dsql.stage",
    "dsql.cause",
    "dsql.outcome",
    "dsql.delay",
    "error.type",
    "db.response.status_code",
];

const INTRODUCTION: &str = "\
# A run under faults

`examples/server` against `dsql-local`: what its clients got while the cluster failed, the trace of
one slow request, and the page of metrics afterwards. [Spans, events and metrics](observability.md)
explains the names. This page is written by a command:

```console
$ DSQL_WRITE_RUN=1 cargo test -p server a_run_under_faults
```

## Requests

The pool has one connection, and a peer in a second Region. `POST` is a transaction with an outcome
table; `GET` is a read that is repeated if its connection is lost.

| what happened meanwhile | request | status | `Retry-After` |
|---|---|--:|--:|
";

const TRACE: &str = "
## A slow request

The spans of one `POST`, which met a refused connection, a slow network, a conflict, and a lost
reply to `COMMIT`. It was answered with 201. Each bar is a span; the marks are its events, which the
table lists.

![The spans of the slow request, as bars over time](run-under-faults.svg)

| after ms | span | event | attributes |
|--:|---|---|---|
";

const METRICS: &str = "
## Metrics

The server's `/metrics` after the run: every metric, without the buckets of histograms. Prometheus
writes `_` for the dots of the names, the unit behind them, and `_total` behind counters.

```text
";
