//! Sweeps the table of outcomes: from a shell, or as a Lambda that a schedule invokes.

use std::env;
use std::process::ExitCode;

use dsql_conn::{Config, Error};
use generate_game::log;
use generate_game::sweep::sweep;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match env::var_os("AWS_LAMBDA_RUNTIME_API") {
        Some(_) => serve().await,
        None => run_once().await,
    }
}

/// Prints how many rows were deleted.
async fn run_once() -> ExitCode {
    match sweep_from_env().await {
        Ok(deleted) => {
            println!("deleted {deleted} outcomes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("sweep failed: {}", log::chain(&error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> ExitCode {
    log::start();
    log::ended(lambda_runtime::run(service_fn(answer)).await)
}

/// Runs for every event, whatever is in it. An error makes Lambda invoke the function again.
async fn answer(_: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    match sweep_from_env().await {
        Ok(deleted) => {
            tracing::info!(deleted, "old outcomes were deleted");
            Ok(json!({ "deleted": deleted }))
        }
        Err(error) => {
            let reason = error.reason().map(|reason| reason.as_str());
            log::failure("sweep failed", reason, &error);
            Err(Diagnostic {
                error_type: "SweepFailed".to_owned(),
                error_message: log::chain(&error),
            })
        }
    }
}

/// Opens a connection for each run: a day after the last one, an old connection has expired.
async fn sweep_from_env() -> Result<u64, Error> {
    sweep(&Config::from_env()?).await
}
