//! How cost grows with the connections of a pool, and with the number of waiting tasks.
//!
//! Each size is measured in a process of its own, so that memory is its own; the cluster runs in
//! this process. Anything that grows faster than its number is reported.

#[expect(dead_code, reason = "every measurement uses a part of it")]
mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use benches::{Relay, record};
use serde::{Deserialize, Serialize};
use support::peers::{Aws, Bb8, Deadpool, Ours, Peer, Test, checked_out};
use support::{Target, cluster, runtime};
use tokio::task::JoinSet;

#[derive(Serialize, Deserialize)]
struct Row {
    program: String,
    connections: u32,
    waiters: u32,
    /// The memory of an idle connection, by the resident set. None for the first one, which also
    /// loads code.
    kib_per_connection: Option<f64>,
    /// The memory of a waiting task, the task included.
    kib_per_waiter: Option<f64>,
    /// A checkout and its return with no waiters: the minimum of several runs.
    ns_per_checkout: Option<f64>,
    /// The time to serve a waiter: the total divided by their number.
    ns_per_waiter: Option<f64>,
}

fn main() -> io::Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [marker, program, connections, waiters] = arguments.as_slice()
        && marker == CHILD
    {
        let number = |text: &str| text.parse().map_err(io::Error::other);
        return child(program, number(connections)?, number(waiters)?);
    }

    let cluster = cluster();
    let target = Target::of(&cluster);
    let relay = Relay::start(target.address, Duration::ZERO)?;
    let parent = Parent {
        target: serde_json::to_string(&target)?,
        folder: relay.folder().to_owned(),
    };
    let mut rows = Vec::new();
    for program in PROGRAMS {
        for connections in [1, 10, 100, 1_000] {
            rows.push(parent.measured(program, connections, 0)?);
        }
        for waiters in [1, 10, 100, 1_000, 10_000] {
            rows.push(parent.measured(program, 1, waiters)?);
        }
    }
    for excess in growth(&rows) {
        println!("{excess}");
    }
    record("scale", &rows)
}

/// The environment variables of the processes.
struct Parent {
    target: String,
    folder: PathBuf,
}

impl Parent {
    fn measured(&self, program: &str, connections: u32, waiters: u32) -> io::Result<Row> {
        let output = Command::new(env::current_exe()?)
            .args([CHILD, program])
            .args([connections, waiters].map(|number| number.to_string()))
            .env(TARGET, &self.target)
            .env(FOLDER, &self.folder)
            .stderr(Stdio::inherit())
            .output()?;
        let row = String::from_utf8_lossy(&output.stdout);
        println!("{}", row.trim());
        Ok(serde_json::from_str(&row)?)
    }
}

fn child(program: &str, connections: u32, waiters: u32) -> io::Result<()> {
    let target = env::var(TARGET).map_err(io::Error::other)?;
    let target: Target = serde_json::from_str(&target)?;
    let runtime = runtime();
    // All connections are held, so that no waiter is served before all wait.
    let size = connections;
    let row = runtime.block_on(async {
        match program {
            "dsql-conn" => measure(Ours::new(&target, size), waiters, size).await,
            "bb8-postgres, untested" => {
                measure(Bb8::new(&target, size, Test::Never), waiters, size).await
            }
            "deadpool-postgres" => {
                measure(Deadpool::new(&target, size, Test::Never), waiters, size).await
            }
            _ => {
                let folder = env::var_os(FOLDER).unwrap_or_default();
                let aws = Aws::new(&target, folder.as_ref(), size).await;
                measure(aws, waiters, size).await
            }
        }
    })?;
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}

async fn measure<P: Peer>(peer: P, waiters: u32, size: u32) -> io::Result<Row> {
    let mut row = Row {
        program: peer.program().to_owned(),
        connections: size,
        waiters,
        kib_per_connection: None,
        kib_per_waiter: None,
        ns_per_checkout: None,
        ns_per_waiter: None,
    };
    let first = checked_out(&peer).await;
    let before = resident_kib()?;
    let mut held = vec![first];
    for _ in 1..size {
        held.push(checked_out(&peer).await);
    }
    let per_connection = (resident_kib()? - before) / f64::from(size - 1).max(1.0);
    row.kib_per_connection = (size > 1).then_some(per_connection);

    if waiters == 0 {
        held.clear();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut least = f64::INFINITY;
        for _ in 0..RUNS {
            let start = Instant::now();
            for _ in 0..CHECKOUTS {
                drop(checked_out(&peer).await);
            }
            least = least.min(start.elapsed().as_nanos() as f64 / f64::from(CHECKOUTS));
        }
        row.ns_per_checkout = Some(least);
        return Ok(row);
    }

    let before = resident_kib()?;
    let mut least = Duration::MAX;
    for run in 0..RUNS {
        let mut tasks = JoinSet::new();
        for _ in 0..waiters {
            let peer = peer.clone();
            tasks.spawn(async move { drop(checked_out(&peer).await) });
        }
        // All tasks reach their wait.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        if run == 0 {
            row.kib_per_waiter = Some((resident_kib()? - before) / f64::from(waiters));
        }
        let start = Instant::now();
        held.clear();
        while tasks.join_next().await.is_some() {}
        least = least.min(start.elapsed());
        held.push(checked_out(&peer).await);
    }
    row.ns_per_waiter = Some(least.as_nanos() as f64 / f64::from(waiters));
    Ok(row)
}

/// What costs more per item with more items: more than 1.5 times as much, from a hundred on.
fn growth(rows: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    for program in PROGRAMS {
        let of = rows.iter().filter(|row| row.program == *program);
        let mut check = |what: &str, costs: Vec<(u32, f64)>| {
            let Some((few, cost)) = costs.iter().find(|(number, _)| *number >= 100) else {
                return;
            };
            if let Some((many, more)) = costs.last()
                && *more > 1.5 * cost
            {
                found.push(format!(
                    "{program}: {what} costs {:.1} times as much at {many} as at {few}",
                    more / cost
                ));
            }
        };
        let pick = |number: fn(&Row) -> u32, cost: fn(&Row) -> Option<f64>| {
            let rows = of.clone();
            rows.filter_map(|row| Some((number(row), cost(row)?)))
                .collect()
        };
        let connections = |row: &Row| row.connections;
        let waiters = |row: &Row| row.waiters;
        check(
            "a checkout",
            pick(connections, |row: &Row| row.ns_per_checkout),
        );
        check(
            "the memory of a connection",
            pick(connections, |row| row.kib_per_connection),
        );
        check("serving a waiter", pick(waiters, |row| row.ns_per_waiter));
        check(
            "the memory of a waiter",
            pick(waiters, |row| row.kib_per_waiter),
        );
    }
    found
}

fn resident_kib() -> io::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let number = number.ok_or_else(|| io::Error::other("no VmRSS"))?;
    number.trim().parse().map_err(io::Error::other)
}

const PROGRAMS: &[&str] = &[
    "dsql-conn",
    "bb8-postgres, untested",
    "deadpool-postgres",
    "aurora-dsql-sqlx-connector",
];
const CHILD: &str = "--child";
const TARGET: &str = "BENCHES_TARGET";
const FOLDER: &str = "BENCHES_FOLDER";
const RUNS: u32 = 10;
const CHECKOUTS: u32 = 20_000;
