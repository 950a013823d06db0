//! The life of the generate-game Lambda on this machine, in five steps.
//!
//! Nothing is played: the Lambda and its bootstrap are the programs that would be deployed, the
//! Runtime API hands them API Gateway events, and every connection goes through TLS and a
//! verified IAM token to a real PostgreSQL behind dsql-local.

mod binaries;
mod environment;
mod event;
mod lambda;
mod life;
mod runtime_api;
mod step;

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use dsql_local::{Action, LocalCluster};
use tokio::signal::unix::{SignalKind, signal};

use crate::binaries::Binaries;
use crate::environment::Environment;
use crate::life::Life;
use crate::step::{Steps, chain};

/// Runs the generate-game Lambda on this machine: bootstrap, cold start, warm invocations,
/// missing permission, shutdown.
///
/// Builds the Lambda's programs first, with the profile `lambda`. Prints one line a step: what it
/// proved and how long it took. Exits with 1 when a step failed.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Show what the Lambda logs
    #[arg(long)]
    log: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    // What is dropped when a signal ends the wait ends its processes and removes its files.
    let result = tokio::select! {
        // Listens before there is anything to clean up.
        biased;
        signal = told_to_end() => match signal {
            Ok(signal) => {
                eprintln!("demo: ended by a signal, cleaning up");
                return ExitCode::from(128 + signal);
            }
            Err(error) => Err(error.into()),
        },
        result = demo(&args) => result,
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Runs the steps and returns how many failed.
async fn demo(args: &Args) -> Result<usize, Box<dyn Error>> {
    let start = Instant::now();
    eprintln!("demo: building the Lambda (the first build takes minutes, the next ones seconds)");
    let binaries = Binaries::build().await?;
    eprintln!("demo: starting a local cluster");
    let cluster = LocalCluster::start().await?;
    let life = Life {
        environment: Environment::of(&cluster)?,
        function: cluster.identity("generate-game", &[Action::DbConnect]),
        binaries,
        cluster,
        echo: args.log,
    };
    eprintln!("demo: ready after {} ms", start.elapsed().as_millis());

    let mut steps = Steps::new(5);
    steps.run("bootstrap as admin", life.bootstrap()).await;
    let mut started = steps.run("cold start", life.cold_start()).await;
    steps
        .run("ten warm invocations", life.warm(started.as_mut()))
        .await;
    steps.run("role without permission", life.denied()).await;
    steps.run("SIGTERM", life.shut_down(started)).await;

    let (failed, time) = (steps.failed(), start.elapsed().as_secs_f32());
    match failed {
        0 => println!("all steps ok, {time:.1} s in all"),
        _ => println!("{failed} of 5 steps failed, {time:.1} s in all"),
    }
    Ok(failed)
}

/// Returns the number of the signal that asks the demo to end.
async fn told_to_end() -> io::Result<u8> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => 2,
        _ = terminate.recv() => 15,
        _ = hangup.recv() => 1,
    })
}
