//! From the start of a process to its first row: `dsql-conn`, its peers, the limit, and the example
//! Lambda.
//!
//! ```console
//! $ cargo bench -p benches --bench cold_start -- --rounds 20
//! ```
//!
//! The programs run alternately, so that other load on the machine affects all of them. Criterion
//! supports neither that nor counts.

mod lambda;
mod observer;
mod quota;
mod runtime_api;
mod sample;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use benches::{Launch, Launcher, Peer, Relay, Site, record};
use clap::Parser;
use dsql_local::LocalCluster;

use crate::lambda::Lambda;
use crate::observer::Observer;
use crate::quota::Quota;
use crate::sample::{Row, Sample, Walls};

/// Starts programs repeatedly, and records the time to the first row
#[derive(Debug, Parser)]
struct Args {
    /// Starts of each program for each round trip time
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Starts of each program with a sixteenth of a CPU
    #[arg(long, default_value_t = 5)]
    rounds_with_quota: usize,
    /// Passed by cargo to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

/// A program, and its samples.
struct Program {
    peer: Peer,
    /// For each round trip time.
    samples: [Vec<Sample>; DISTANCES.len()],
    walls_with_quota: Vec<Duration>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let site = Site::new(runtime.block_on(LocalCluster::start())?)?;
    let launcher = Launcher::build()?;
    let relays: Vec<_> = DISTANCES
        .iter()
        .map(|distance| Relay::start(site.cluster.address(), *distance))
        .collect::<Result<_, _>>()?;
    let peers = [Peer::ours()?, Peer::others()?, vec![Peer::floor()?]].concat();
    let mut programs: Vec<_> = peers.into_iter().map(Program::new).collect();
    let lambda = Lambda::deploy(&runtime, &site)?;
    let mut invocations = [const { Vec::new() }; DISTANCES.len()];

    for _ in 0..args.rounds {
        for (at, relay) in relays.iter().enumerate() {
            for program in &mut programs {
                let sample = program.run(&launcher, &site, relay, None)?;
                program.samples[at].push(sample);
            }
            invocations[at].push(lambda.run(&runtime, &launcher, &site, relay)?);
        }
    }
    match Quota::sixteenth_of_a_cpu() {
        Ok(quota) => {
            for _ in 0..args.rounds_with_quota {
                for program in &mut programs {
                    let relay = &relays[WITH_QUOTA];
                    let sample = program.run(&launcher, &site, relay, Some(quota.path()))?;
                    program.walls_with_quota.push(sample.wall);
                }
            }
        }
        Err(error) => println!("with a sixteenth of a CPU: not measured, {error}"),
    }

    let mut rows = Vec::new();
    for (at, distance) in DISTANCES.into_iter().enumerate() {
        for program in &programs {
            let (peer, samples) = (&program.peer, &program.samples[at]);
            // Round trips are most distinct over the slowest network.
            let farthest = &program.samples[DISTANCES.len() - 1];
            let mut row = Row::new(peer.name, peer.variant, distance, samples);
            row.round_trips = farthest.iter().map(|sample| sample.round_trips).min();
            row.binary_bytes = Some(peer.bytes);
            row.crates = Some(peer.crates);
            if at == WITH_QUOTA {
                row.wall_us_with_quota = Walls::of(program.walls_with_quota.iter().copied());
            }
            rows.push(row);
        }
        let invocations = &invocations[at];
        rows.push(Row::new(
            "generate-game",
            lambda::VARIANT,
            distance,
            invocations,
        ));
    }
    sample::print(&rows);
    record("cold_start", &rows)?;
    Ok(())
}

impl Program {
    fn new(peer: Peer) -> Self {
        Self {
            peer,
            samples: [const { Vec::new() }; DISTANCES.len()],
            walls_with_quota: Vec::new(),
        }
    }

    fn run(
        &self,
        launcher: &Launcher,
        site: &Site,
        relay: &Relay,
        group: Option<&Path>,
    ) -> Result<Sample, Box<dyn Error>> {
        let observer = Observer::new(site, relay);
        let launch = Launch {
            program: &self.peer.path,
            arguments: self.peer.arguments,
            looks_up: self.peer.looks_up,
            identity: site.cluster.admin(),
            address: relay.address(),
            group,
            goes_on: false,
        };
        let sample = launcher
            .run(site, launch)
            .map_err(Into::into)
            .and_then(|took| observer.sample(took, took.first_line()));
        sample.map_err(|error| format!("{} {}: {error}", self.peer.name, self.peer.variant).into())
    }
}

/// Round trip times: none, within a Region, and between nearby Regions.
const DISTANCES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(5),
];
/// The round trip time at which the CPU is limited as well.
const WITH_QUOTA: usize = 1;
