//! The CPU time of the client for a warm `SELECT 1` with its checkout.
//!
//! The client runs on one thread, so that the thread's CPU time is all that the client uses: the
//! pool, the driver, TLS and the system calls. The cluster has threads of its own.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::io;
use std::time::Duration;

use benches::{Relay, record};
use serde::Serialize;
use support::peers::{Aws, Bb8, Deadpool, Ours, Peer, Test, checked_out, warm};
use support::samples::{Samples, micros, thread_time};
use support::{Target, cluster, runtime};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

#[derive(Serialize)]
struct Row {
    program: &'static str,
    tasks: u32,
    connections: u32,
    /// CPU time of a query with its checkout: of the rounds, the least.
    min_us: f64,
    p50_us: f64,
}

fn main() -> io::Result<()> {
    let cluster = cluster();
    let target = Target::of(&cluster);
    let relay = Relay::start(target.address, Duration::ZERO)?;
    let runtime = runtime();
    // Some pools start tasks when they are made.
    let _context = runtime.enter();
    let ours = Ours::new(&target, CONNECTIONS);
    let tested = Bb8::new(&target, CONNECTIONS, Test::Each);
    let untested = Bb8::new(&target, CONNECTIONS, Test::Never);
    let deadpool = Deadpool::new(&target, CONNECTIONS, Test::Never);
    let aws = runtime.block_on(Aws::new(&target, relay.folder(), CONNECTIONS));
    let mut rows = Vec::new();
    for tasks in TASKS {
        let runs: [(&str, &dyn Fn() -> Duration); 5] = [
            (ours.program(), &|| run(&runtime, &ours, tasks)),
            (tested.program(), &|| run(&runtime, &tested, tasks)),
            (untested.program(), &|| run(&runtime, &untested, tasks)),
            (deadpool.program(), &|| run(&runtime, &deadpool, tasks)),
            (aws.program(), &|| run(&runtime, &aws, tasks)),
        ];
        // Program after program in each round, so that other load meets all of them; every other
        // round backwards, so that none always follows the one that leaves the most behind.
        let mut samples = [(); 5].map(|()| Samples::default());
        for round in 0..ROUNDS {
            for turn in 0..runs.len() {
                let at = match round % 2 {
                    0 => turn,
                    _ => runs.len() - 1 - turn,
                };
                samples[at].push(runs[at].1());
            }
        }
        for ((program, _), samples) in runs.into_iter().zip(samples) {
            let row = Row {
                program,
                tasks,
                connections: CONNECTIONS,
                min_us: micros(samples.quantile(0.0)),
                p50_us: micros(samples.quantile(0.5)),
            };
            println!(
                "{program}, {tasks} tasks: {:.2} us, median {:.2} us",
                row.min_us, row.p50_us
            );
            rows.push(row);
        }
    }
    record("cpu", &rows)
}

/// The CPU time of one query, as the mean of many.
fn run<P: Peer>(runtime: &Runtime, peer: &P, tasks: u32) -> Duration {
    runtime.block_on(async {
        warm(peer, CONNECTIONS).await;
        let each = QUERIES / tasks;
        let before = thread_time();
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            running.spawn(work(peer.clone(), each));
        }
        running.join_all().await;
        (thread_time() - before) / (each * tasks)
    })
}

async fn work<P: Peer>(peer: P, queries: u32) {
    for _ in 0..queries {
        let mut loan = checked_out(&peer).await;
        P::query(&mut loan).await.expect("an answer");
    }
}

const TASKS: [u32; 2] = [1, 64];
const CONNECTIONS: u32 = 10;
const QUERIES: u32 = 3_200;
const ROUNDS: usize = 24;
