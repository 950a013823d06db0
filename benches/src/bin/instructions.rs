//! Counts the instructions from a process's start to its first row, compared with the lower bound,
//! and fails when they grow.
//!
//! ```console
//! $ cargo run --release -p benches --bin instructions             # ours and the floor
//! $ cargo run --release -p benches --bin instructions -- --peers  # and the peers
//! ```
//!
//! Unlike times, they are nearly the same in every run and on a busy machine, so that CI can check
//! them.

use std::error::Error;
use std::fs;
use std::process::Command;

use benches::{Peer, Site, record};
use clap::Parser;
use dsql_local::LocalCluster;
use serde::Serialize;

/// Counts instructions by valgrind; exits with 1 if ours are more than 1.2 times the floor's.
#[derive(Debug, Parser)]
struct Args {
    /// Count the peers' as well
    #[arg(long)]
    peers: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    program: &'static str,
    variant: &'static str,
    ir: u64,
    ratio_to_floor: f64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let version = Command::new("valgrind").arg("--version").output();
    version.map_err(|error| format!("valgrind: {error}. Install it: apt-get install valgrind"))?;

    let site = Site::new(LocalCluster::start().await?)?;
    let mut programs = vec![Peer::floor()?];
    programs.extend(Peer::ours()?);
    if args.peers {
        programs.extend(Peer::others()?);
    }
    let mut rows: Vec<Row> = Vec::new();
    for program in programs {
        let ir = instructions(&site, &program)?;
        let floor = rows.first().map_or(ir, |floor| floor.ir);
        rows.push(Row {
            program: program.name,
            variant: program.variant,
            ir,
            ratio_to_floor: ir as f64 / floor as f64,
        });
    }

    println!(
        "{:20} {:44} {:>12} {:>9}",
        "program", "variant", "instructions", "by floor"
    );
    for Row {
        program,
        variant,
        ir,
        ratio_to_floor,
    } in &rows
    {
        println!("{program:20} {variant:44} {ir:12} {ratio_to_floor:9.3}");
    }
    record("instructions", &rows)?;

    let ratio = rows[TYPED].ratio_to_floor;
    if ratio > MOST {
        return Err(format!("ours are {ratio:.3} of the floor's, more than {MOST}").into());
    }
    Ok(())
}

/// The minimum of a few runs: signatures and numbers differ in length.
fn instructions(site: &Site, program: &Peer) -> Result<u64, Box<dyn Error>> {
    let counts = (0..RUNS).map(|_| count(site, program));
    let counts: Vec<_> = counts.collect::<Result<_, _>>()?;
    counts.into_iter().min().ok_or_else(|| "no runs".into())
}

fn count(site: &Site, program: &Peer) -> Result<u64, Box<dyn Error>> {
    let profile = site.folder().join("callgrind.out");
    let mut command = site.command("valgrind", program.looks_up);
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(&program.path)
        .args(program.arguments);
    site.furnish(&mut command, site.cluster.admin(), site.cluster.address());
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {}: {said}", program.name, output.status).into());
    }
    let profile = fs::read_to_string(profile)?;
    let total = profile
        .lines()
        .find_map(|line| line.strip_prefix("summary: "));
    Ok(total.ok_or("callgrind wrote no summary")?.trim().parse()?)
}

/// The best row of ours, compared with the floor's.
const TYPED: usize = 1;
const RUNS: usize = 3;
const MOST: f64 = 1.20;
