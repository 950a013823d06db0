//! Runs a soak and prints its report.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use soak::{Failure, Length, Opening, Soak};

/// Transfers money under injected faults, and compares the ledger with each worker's results.
///
/// Exits with 1 if a promise was broken, a connection was not returned or a fault never occurred;
/// with 2 if the workers made no progress; with 3 if the run could not start.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Minutes to run; longer until every kind of fault was observed
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    /// Number of workers, each with one transfer at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(2..))]
    workers: u16,
    /// Number of accounts; the fewer, the more conflicts
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(i64).range(2..=100_000))]
    accounts: i64,
    /// Number of connections that the workers share
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=200))]
    connections: u32,
    /// Number of Regions; by the seed if absent
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    regions: Option<u8>,
    /// Seed of all random choices; drawn and printed if absent
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let seed: u64 = args.seed.unwrap_or_else(rand::random);
    let has_peer = match args.regions {
        Some(regions) => regions == 2,
        None => seed.is_multiple_of(2),
    };
    let soak = Soak {
        length: Length::Time(Duration::from_secs_f64(args.minutes * 60.0)),
        workers: args.workers.into(),
        connections: args.connections,
        opening: Opening {
            accounts: args.accounts,
            balance: 1_000,
        },
        pause: Duration::from_millis(400),
        has_peer,
        seed,
    };
    println!("seed: {seed}, Regions: {}", 1 + u8::from(has_peer));
    match soak.run().await {
        Ok(report) => {
            println!("{report}");
            match report.is_sound() && report.unseen().is_empty() {
                true => ExitCode::SUCCESS,
                false => ExitCode::from(1),
            }
        }
        Err(failure) => {
            eprintln!("soak: {failure}");
            match failure {
                Failure::NoProgress(_) => ExitCode::from(2),
                Failure::Setup(_) => ExitCode::from(3),
            }
        }
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(minutes) if (0.0..=100_000.0).contains(&minutes) => Ok(minutes),
        _ => Err("a number of minutes from 0 on".to_owned()),
    }
}
