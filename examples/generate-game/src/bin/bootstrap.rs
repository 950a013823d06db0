//! Prepares the cluster for the Lambda, as its admin, at deploy time: from a shell, or as a Lambda
//! that a custom resource of CloudFormation calls.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use dsql_conn::Config;
use generate_game::bootstrap::{Grantee, Step, admitted, bootstrap};
use generate_game::log;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match env::var_os("AWS_LAMBDA_RUNTIME_API") {
        Some(_) => serve().await,
        None => run_once().await,
    }
}

/// Prints what was done.
async fn run_once() -> ExitCode {
    match prepare(SystemTime::now()).await {
        Ok(steps) => {
            for step in steps {
                println!("{step}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bootstrap failed: {}", log::chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> ExitCode {
    log::start();
    match lambda_runtime::run(service_fn(answer)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::failure("the Runtime API failed", None, &*error);
            ExitCode::FAILURE
        }
    }
}

/// Runs for any event but the end of a custom resource: the schema stays with the cluster. An error
/// is the deployment's.
///
/// Event and answer are those of the CDK's
/// [provider framework](https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources-readme.html#handling-lifecycle-events-onevent).
async fn answer(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    if event.payload["RequestType"] == "Delete" {
        return Ok(json!({}));
    }
    match prepare(event.context.deadline() - FOR_THE_WORK).await {
        Ok(steps) => {
            let steps: Vec<_> = steps.iter().map(Step::to_string).collect();
            tracing::info!(steps = steps.join(", "), "the cluster is prepared");
            Ok(json!({ "steps": steps }))
        }
        Err(error) => {
            log::failure("bootstrap failed", None, &*error);
            Err(Diagnostic {
                error_type: "BootstrapFailed".to_owned(),
                error_message: log::chain(&*error),
            })
        }
    }
}

/// Waits until then for permissions to take effect.
async fn prepare(until: SystemTime) -> Result<Vec<Step>, Box<dyn Error>> {
    let grantee = Grantee::from_env()?;
    let connection = admitted(&Config::from_env()?, until).await?;
    Ok(bootstrap(&connection, &grantee).await?)
}

/// What the statements and their indexes may take of the function's time.
const FOR_THE_WORK: Duration = Duration::from_secs(120);
