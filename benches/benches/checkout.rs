//! The cost of a checkout and its return, compared with the peers'.
//!
//! A connection that was not used since the last checkout is known to be clean. After use, the pool
//! waits for one run of the connection task, without a round trip.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::io;
use std::time::{Duration, Instant};

use benches::{Relay, record};
use criterion::Criterion;
use dsql_local::LocalCluster;
use serde::Serialize;
use support::peers::{Aws, Bb8, Deadpool, Ours, Peer, Test, checked_out, warm};
use support::samples::{Samples, nanos};
use support::{Target, cluster, runtime};
use tokio::runtime::{Builder, Runtime};

/// The cost of one program in one case.
#[derive(Serialize)]
struct Row {
    program: &'static str,
    /// Whether the connection was used since the last checkout.
    used: bool,
    threads: usize,
    /// Round trips of a checkout.
    round_trips: usize,
    min_ns: f64,
    p50_ns: f64,
    p99_ns: f64,
}

fn main() -> io::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let cluster = cluster();
    let target = Target::of(&cluster);
    let relay = Relay::start(target.address, Duration::ZERO)?;
    let mut rows = Vec::new();
    let many = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    for (runtime, threads) in [(&runtime(), 1), (&many, 2)] {
        // Some pools start tasks when they are made.
        let _context = runtime.enter();
        let mut bench = Bench {
            cluster: &cluster,
            criterion: &mut criterion,
            rows: &mut rows,
            runtime,
            threads,
        };
        bench.run(Ours::new(&target, SIZE));
        bench.run(Bb8::new(&target, SIZE, Test::Never));
        bench.run(Bb8::new(&target, SIZE, Test::Each));
        bench.run(Deadpool::new(&target, SIZE, Test::Never));
        bench.run(Deadpool::new(&target, SIZE, Test::Each));
        bench.run(runtime.block_on(Aws::new(&target, relay.folder(), SIZE)));
    }
    criterion.final_summary();
    record("checkout", &rows)
}

struct Bench<'a> {
    cluster: &'a LocalCluster,
    criterion: &'a mut Criterion,
    rows: &'a mut Vec<Row>,
    runtime: &'a Runtime,
    threads: usize,
}

impl Bench<'_> {
    fn run<P: Peer>(&mut self, peer: P) {
        self.runtime.block_on(warm(&peer, SIZE));
        let before = self.flights();
        let checkouts = self.runtime.spawn(unused(peer.clone(), 10));
        self.runtime.block_on(checkouts).expect("it does not panic");
        let round_trips = (self.flights() - before) / 10;
        self.case(&peer, round_trips, false, unused);
        self.case(&peer, round_trips, true, used);
    }

    /// The number of round trips of a client so far. A driver does not wait for the `Close` of a
    /// statement.
    fn flights(&self) -> usize {
        let connections = self.cluster.connections();
        let flights = connections
            .iter()
            .flat_map(|connection| &connection.flights);
        flights.filter(|flight| *flight != "CS").count()
    }

    fn case<P, F, Fut>(&mut self, peer: &P, round_trips: usize, used: bool, measure: F)
    where
        P: Peer,
        F: Fn(P, u64) -> Fut,
        Fut: Future<Output = Duration> + Send + 'static,
    {
        let Self {
            runtime, threads, ..
        } = *self;
        let mut samples = Samples::default();
        let group = match used {
            true => "checkout after use",
            false => "checkout without use",
        };
        let name = format!("{}, {threads} threads", peer.program());
        let mut group = self.criterion.benchmark_group(group);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                // In a task: the thread that blocks on a runtime is not one of its workers.
                let task = runtime.spawn(measure(peer.clone(), times));
                let took = runtime.block_on(task).expect("it does not panic");
                if times >= ENOUGH {
                    samples.push(took.div_f64(times as f64));
                }
                took
            });
        });
        group.finish();
        self.rows.push(Row {
            program: peer.program(),
            used,
            threads,
            round_trips,
            min_ns: nanos(samples.quantile(0.0)),
            p50_ns: nanos(samples.quantile(0.5)),
            p99_ns: nanos(samples.quantile(0.99)),
        });
    }
}

async fn unused<P: Peer>(peer: P, times: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        drop(checked_out(&peer).await);
    }
    start.elapsed()
}

/// Uses all connections, untimed, then times their return and checkout. At most a few times,
/// because the queries of many repetitions would take hours.
async fn used<P: Peer>(peer: P, times: u64) -> Duration {
    let rounds = times.div_ceil(SIZE.into()).min(MOST_ROUNDS);
    let mut took = Duration::ZERO;
    let mut loans = Vec::with_capacity(SIZE as usize);
    for _ in 0..SIZE {
        loans.push(checked_out(&peer).await);
    }
    for _ in 0..rounds {
        for loan in &mut loans {
            P::query(loan).await.expect("an answer");
        }
        let start = Instant::now();
        loans.clear();
        for _ in 0..SIZE {
            loans.push(checked_out(&peer).await);
        }
        took += start.elapsed();
    }
    took.mul_f64(times as f64 / (rounds * u64::from(SIZE)) as f64)
}

const SIZE: u32 = 10;
/// From this number of checkouts on, a mean is meaningful.
const ENOUGH: u64 = 50;
const MOST_ROUNDS: u64 = 40;
