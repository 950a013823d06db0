//! What spans and metrics cost: the CPU time of the client for a warm `SELECT 1` with its checkout,
//! without a subscriber or recorder, and with ones that do little.
//!
//! ```console
//! $ cargo bench -p benches --features metrics --bench telemetry
//! ```
//!
//! The client runs on one thread, so that the thread's CPU time is all that the client uses.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use benches::record;
use dsql_conn::{Config, OPERATION_DURATION_BOUNDS, Pool, StatementSpans};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, with_local_recorder,
};
use serde::Serialize;
use support::peers::STATEMENT;
use support::samples::{Samples, micros, thread_time};
use support::{Target, cluster, runtime};
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;

/// The subscriber and the recorder of a row.
#[derive(Debug, Clone, Copy)]
struct Listener {
    name: &'static str,
    subscribes: bool,
    records: bool,
    statements: StatementSpans,
}

#[derive(Serialize)]
struct Row {
    listener: &'static str,
    /// CPU time of a query with its checkout: of the rounds, the least.
    min_us: f64,
    p50_us: f64,
    /// Of the rounds, the median of the ratios to the first row's time in the same round.
    ratio: f64,
}

fn main() -> io::Result<()> {
    let cluster = cluster();
    let target = Target::of(&cluster);
    let runtime = runtime();
    let pools = LISTENERS.map(|listener| Client::new(&target, listener));
    let mut samples = LISTENERS.map(|_| Samples::default());
    let mut ratios = LISTENERS.map(|_| Vec::new());
    for _ in 0..ROUNDS {
        // One after the other in each round, so that other load meets all of them.
        let times: Vec<_> = pools.iter().map(|client| client.run(&runtime)).collect();
        for (at, time) in times.iter().enumerate() {
            samples[at].push(*time);
            ratios[at].push(time.div_duration_f64(times[0]));
        }
    }
    let mut rows = Vec::new();
    for (at, listener) in LISTENERS.iter().enumerate() {
        ratios[at].sort_unstable_by(f64::total_cmp);
        let row = Row {
            listener: listener.name,
            min_us: micros(samples[at].quantile(0.0)),
            p50_us: micros(samples[at].quantile(0.5)),
            ratio: ratios[at][ROUNDS / 2],
        };
        println!(
            "{}: {:.2} us, median {:.2} us, ratio {:.3}",
            row.listener, row.min_us, row.p50_us, row.ratio
        );
        rows.push(row);
    }
    record("telemetry", &rows)
}

/// A pool of one connection, with its subscriber and recorder.
struct Client {
    pool: Pool,
    listener: Listener,
    recorder: Buckets,
}

impl Client {
    fn new(target: &Target, listener: Listener) -> Self {
        let credentials = aws_credential_types::Credentials::new(
            &target.access_key_id,
            &target.secret_access_key,
            target.session_token.clone(),
            None,
            "bench",
        );
        let config = Config::new(target.endpoint.parse().expect("the cluster's own"))
            .address(target.address.ip())
            .port(target.address.port())
            .credentials(credentials)
            .root_certificates_pem(target.ca_pem.as_bytes())
            .expect("the cluster's own")
            .statement_spans(listener.statements);
        Self {
            pool: Pool::builder(config).max_size(1).build(),
            listener,
            recorder: Buckets,
        }
    }

    /// The CPU time of one query, as the mean of many.
    fn run(&self, runtime: &Runtime) -> Duration {
        let queries = || {
            runtime.block_on(async {
                self.queries(WARM_UP).await;
                let before = thread_time();
                self.queries(QUERIES).await;
                (thread_time() - before) / QUERIES
            })
        };
        let recorded = || match self.listener.records {
            true => with_local_recorder(&self.recorder, queries),
            false => queries(),
        };
        match self.listener.subscribes {
            // Made for this run alone: while one exists, spans are not known to be off.
            true => {
                let registry = tracing_subscriber::registry().with(LevelFilter::DEBUG);
                tracing::subscriber::with_default(registry, recorded)
            }
            false => recorded(),
        }
    }

    async fn queries(&self, queries: u32) {
        for _ in 0..queries {
            let connection = self.pool.get().await.expect("a connection");
            let rows = connection.query(STATEMENT, &[]).await.expect("an answer");
            black_box(rows);
        }
    }
}

/// A recorder with the buckets that an exporter would have.
struct Buckets;

#[derive(Default)]
struct Bucketed {
    counts: [AtomicU64; OPERATION_DURATION_BOUNDS.len() + 1],
    last: AtomicU64,
}

impl Recorder for Buckets {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Bucketed::default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Bucketed::default()))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Bucketed::default()))
    }
}

impl CounterFn for Bucketed {
    fn increment(&self, by: u64) {
        self.last.fetch_add(by, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.last.store(value, Ordering::Relaxed);
    }
}

impl GaugeFn for Bucketed {
    fn increment(&self, by: f64) {
        self.set(f64::from_bits(self.last.load(Ordering::Relaxed)) + by);
    }

    fn decrement(&self, by: f64) {
        GaugeFn::increment(self, -by);
    }

    fn set(&self, value: f64) {
        self.last.store(value.to_bits(), Ordering::Relaxed);
    }
}

impl HistogramFn for Bucketed {
    fn record(&self, value: f64) {
        let bucket = OPERATION_DURATION_BOUNDS.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

const LISTENERS: [Listener; 5] = [
    Listener {
        name: "nobody",
        subscribes: false,
        records: false,
        statements: StatementSpans::Off,
    },
    Listener {
        name: "a subscriber",
        subscribes: true,
        records: false,
        statements: StatementSpans::Off,
    },
    Listener {
        name: "a recorder",
        subscribes: false,
        records: true,
        statements: StatementSpans::Off,
    },
    Listener {
        name: "a subscriber and a recorder",
        subscribes: true,
        records: true,
        statements: StatementSpans::Off,
    },
    Listener {
        name: "both, with spans of statements",
        subscribes: true,
        records: true,
        statements: StatementSpans::WithText,
    },
];
const WARM_UP: u32 = 200;
const QUERIES: u32 = 4_000;
const ROUNDS: usize = 31;
