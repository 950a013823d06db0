//! Measures operations on warm connections, and the network's part of their time.

use std::io;
use std::time::{Duration, Instant};

use benches::{Relay, record};
use criterion::Criterion;
use serde::Serialize;
use tokio::runtime::Runtime;

use super::peers::{Aws, Bb8, Deadpool, Ours, Peer, Test, Typed, warm};
use super::samples::{Samples, micros};
use super::{Target, runtime};

/// A repeated operation.
pub(crate) trait Operation {
    const NAME: &str;

    fn run<P: Peer>(peer: &P) -> impl Future<Output = ()>;
}

/// The measurements of one program over one network.
#[derive(Serialize)]
struct Row {
    program: &'static str,
    rtt_us: u64,
    /// Computed from the time over a slow network.
    round_trips: u32,
    times: usize,
    min_us: f64,
    p50_us: f64,
    p99_us: f64,
    /// Shares, and their quantiles in microseconds.
    distribution: Vec<(f64, f64)>,
}

/// Measures the operation for all programs, and records the results.
pub(crate) fn measure<O: Operation>(target: &Target) -> io::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let far = Relay::start(target.address, FAR)?;
    let mut rows = Vec::new();
    for rtt in [Duration::ZERO, NEAR] {
        let relay = Relay::start(target.address, rtt)?;
        let runtime = runtime();
        // Some pools start tasks when they are made.
        let _context = runtime.enter();
        let mut bench = Bench {
            criterion: &mut criterion,
            rows: &mut rows,
            runtime: &runtime,
            rtt,
        };
        let near = match rtt.is_zero() {
            true => target.clone(),
            false => target.through(&relay),
        };
        let off = target.through(&far);
        bench.run::<O, _>(Ours::new(&near, 1), Ours::new(&off, 1));
        for test in [Test::Each, Test::Never] {
            bench.run::<O, _>(Bb8::new(&near, 1, test), Bb8::new(&off, 1, test));
        }
        bench.run::<O, _>(Typed::new(&near, 1), Typed::new(&off, 1));
        let test = Test::Never;
        bench.run::<O, _>(Deadpool::new(&near, 1, test), Deadpool::new(&off, 1, test));
        let aws = runtime.block_on(Aws::new(target, relay.folder(), 1));
        bench.run::<O, _>(aws, runtime.block_on(Aws::new(target, far.folder(), 1)));
    }
    criterion.final_summary();
    record(O::NAME, &rows)
}

struct Bench<'a> {
    criterion: &'a mut Criterion,
    rows: &'a mut Vec<Row>,
    runtime: &'a Runtime,
    rtt: Duration,
}

impl Bench<'_> {
    /// Measures one program on a pool over the given network, and on one over a network so slow
    /// that the time reveals the number of round trips.
    fn run<O: Operation, P: Peer>(&mut self, near: P, far: P) {
        let runtime = self.runtime;
        let round_trips = runtime.block_on(async {
            warm(&far, 1).await;
            let mut samples = Samples::default();
            // The first run prepares what is prepared once.
            for _ in 0..5 {
                let start = Instant::now();
                O::run(&far).await;
                samples.push(start.elapsed());
                // Work after the operation, such as a driver's `Close` of a statement.
                tokio::time::sleep(2 * FAR).await;
            }
            samples.quantile(0.0).div_duration_f64(FAR) as u32
        });

        runtime.block_on(warm(&near, 1));
        let mut samples = Samples::default();
        let name = format!("{}, {} us away", near.program(), self.rtt.as_micros());
        let mut group = self.criterion.benchmark_group(O::NAME);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    let begun = Instant::now();
                    for _ in 0..times {
                        let start = Instant::now();
                        O::run(&near).await;
                        samples.push(start.elapsed());
                    }
                    begun.elapsed()
                })
            });
        });
        group.finish();
        self.rows.push(Row {
            program: near.program(),
            rtt_us: self.rtt.as_micros() as u64,
            round_trips,
            times: samples.len(),
            min_us: micros(samples.quantile(0.0)),
            p50_us: micros(samples.quantile(0.5)),
            p99_us: micros(samples.quantile(0.99)),
            distribution: samples.distribution(),
        });
    }
}

/// Within a Region.
const NEAR: Duration = Duration::from_millis(1);
/// So slow that everything else is negligible.
const FAR: Duration = Duration::from_millis(20);
