//! The life of the generate-game Lambda on this machine, step by step.
//!
//! Nothing is mocked except AWS: the Lambda and its bootstrap are the deployed programs, the
//! Runtime API sends them API Gateway events, and every connection uses TLS and a verified IAM
//! token, to a real PostgreSQL behind dsql-local.

mod binaries;
mod environment;
mod event;
mod gateway;
mod lambda;
mod life;
mod runtime_api;
mod serve;
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
use crate::step::{Form, Steps, chain};

/// Runs the generate-game Lambda on this machine, from its bootstrap to its end.
///
/// Builds the programs first, with the profile `lambda`. Prints one line per step: what it proved
/// and how long it took. Exits with 1 if a step failed, and with 128 plus its number if a signal
/// ended the demo.
#[derive(Debug, Parser)]
#[command(version, after_long_help = NOTES)]
struct Args {
    /// Print one JSON object per step, and nothing else, on standard output
    #[arg(long)]
    json: bool,
    /// Instead of all steps: bootstrap, cold start, and an HTTP port for curl until Ctrl-C
    #[arg(long)]
    serve: bool,
    /// Port on 127.0.0.1 for --serve; 0 selects a free one
    #[arg(long, default_value_t = 0, requires = "serve")]
    port: u16,
    /// Show the Lambda's log on standard error
    #[arg(long)]
    log: bool,
}

const NOTES: &str = "\
The fields of --json:
  step    the step's name
  ok      whether it succeeded
  ms      how long it took
  proves  what it proved, in words; absent if it failed
  error   why it failed; absent if it succeeded
and what was measured: numbers of invocations, connections, statements (flights: the client's
messages up to each one that wants a reply), .. and times, in _ms and _us. For --serve: url,
api_key, curl (ready commands).

The freeze:
  SIGSTOP stops the process for real seconds while the network drops everything. Its clocks
  continue. Lambda may also stop the guest's monotonic clock, and with it every timer. The demo
  does not imitate that; dsql-conn's tests, which move the clock, cover it.";

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    // A signal drops the steps, which ends their processes and removes their files.
    let result = tokio::select! {
        // Installed before there is anything to clean up.
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
    let cluster = LocalCluster::builder().peer_region("us-west-2");
    let cluster = cluster.start().await?;
    let life = Life {
        environment: Environment::of(&cluster)?,
        function: cluster.identity("generate-game", &[Action::DbConnect]),
        binaries,
        cluster,
        echo: args.log,
    };
    eprintln!("demo: ready after {} ms", start.elapsed().as_millis());

    let form = if args.json { Form::Json } else { Form::Text };
    if args.serve {
        return serve(&life, form, args.port).await;
    }
    let mut steps = Steps::new(form, 16);
    steps.run("bootstrap as admin", life.bootstrap()).await;
    let mut started = steps.run("cold start", life.cold_start()).await;
    steps
        .run("warm invocations", life.warm(started.as_mut()))
        .await;
    steps
        .run("read back", life.read_back(started.as_mut()))
        .await;
    steps
        .run("bad requests", life.bad_requests(started.as_mut()))
        .await;
    steps.run("conflict", life.conflict(started.as_mut())).await;
    steps.run("SIGTERM", life.shut_down(started)).await;
    // After the environment above has ended: this step cuts its network as well.
    steps
        .run("SIGTERM after a stall", life.shut_down_stalled())
        .await;
    steps.run("lost answer", life.lost_answer()).await;
    steps.run("lost COMMIT", life.lost_commit()).await;
    steps.run("freeze and thaw", life.freeze()).await;
    steps.run("lifetime", life.lifetime()).await;
    steps.run("waking cluster", life.waking()).await;
    steps.run("throttled connect", life.throttled()).await;
    steps.run("failed Region", life.region()).await;
    steps.run("role without permission", life.denied()).await;
    steps.sum_up(start.elapsed());
    Ok(steps.failed())
}

/// Runs the steps up to the open port, then serves. Returns only if a step failed.
async fn serve(life: &Life, form: Form, port: u16) -> Result<usize, Box<dyn Error>> {
    let mut steps = Steps::new(form, 3);
    steps.run("bootstrap as admin", life.bootstrap()).await;
    let started = steps.run("cold start", life.cold_start()).await;
    if let Some(open) = steps.run("serve", life.open(port, started)).await {
        if form == Form::Text {
            println!("{}", open.lines.join("\n"));
        }
        life.serve(open).await?;
    }
    Ok(steps.failed())
}

/// Returns the number of the signal that ends the demo.
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
