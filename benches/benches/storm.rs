//! The cost of opening many connections at the same time, compared with the peers'.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::io;
use std::time::{Duration, Instant};

use benches::{Relay, record};
use dsql_local::LocalCluster;
use serde::Serialize;
use support::peers::{Aws, Bb8, Deadpool, Ours, Peer, Test};
use support::{Target, cluster};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

#[derive(Serialize)]
struct Row {
    program: &'static str,
    connects: u32,
    /// Until the last one was open or had failed.
    wall_ms: f64,
    /// The cluster's count. A surplus means connections that no checkout asked for.
    logins: u64,
    failures: usize,
}

fn main() -> io::Result<()> {
    let cluster = cluster();
    let target = Target::of(&cluster);
    let relay = Relay::start(target.address, Duration::ZERO)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let mut rows = Vec::new();
    for connects in [1, 16, 256, 1_000] {
        let storm = Storm {
            cluster: &cluster,
            runtime: &runtime,
            connects,
        };
        rows.push(storm.run(|| Ours::new(&target, connects)));
        rows.push(storm.run(|| Bb8::new(&target, connects, Test::Each)));
        rows.push(storm.run(|| Deadpool::new(&target, connects, Test::Never)));
        let aws = || runtime.block_on(Aws::new(&target, relay.folder(), connects));
        rows.push(storm.run(aws));
    }
    record("storm", &rows)
}

struct Storm<'a> {
    cluster: &'a LocalCluster,
    runtime: &'a Runtime,
    connects: u32,
}

impl Storm<'_> {
    /// The pool is made first: its tasks need a runtime.
    fn run<P: Peer>(&self, pool: impl FnOnce() -> P) -> Row {
        let before = self.cluster.counts().logins;
        let runtime = self.runtime.enter();
        let peer = pool();
        drop(runtime);
        let (wall, failures) = self.runtime.block_on(self.connect(&peer));
        let row = Row {
            program: peer.program(),
            connects: self.connects,
            wall_ms: wall.as_secs_f64() * 1e3,
            logins: self.cluster.counts().logins - before,
            failures,
        };
        println!(
            "{}: {} at once in {wall:.0?}, {} logins, {failures} failures",
            row.program, row.connects, row.logins
        );
        self.runtime.block_on(async {
            peer.close().await;
            while self.cluster.counts().open > 0 || self.cluster.counts().backends > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        row
    }

    async fn connect<P: Peer>(&self, peer: &P) -> (Duration, usize) {
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..self.connects {
            let peer = peer.clone();
            tasks.spawn(async move { peer.checkout().await });
        }
        // Held until all are open, so that none is checked out twice.
        let loans = tasks.join_all().await;
        let wall = start.elapsed();
        (wall, loans.iter().filter(|loan| loan.is_err()).count())
    }
}
