//! Prepares the cluster for the Lambda at deploy time, as its admin: from a shell, or as the Lambda
//! of a CloudFormation custom resource.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use dsql_conn::{Config, Connection};
use generate_game::bootstrap::{BootstrapError, Grantee, Step, admit_sweeper, admitted, bootstrap};
use generate_game::log;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match env::var_os("AWS_LAMBDA_RUNTIME_API") {
        Some(_) => serve().await,
        None => run_once().await,
    }
}

/// Prints what was done.
async fn run_once() -> ExitCode {
    match prepare(None).await {
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
    log::ended(lambda_runtime::run(service_fn(answer)).await)
}

/// Runs for all events but two. Deleting the custom resource leaves the schema, and a rollback to
/// an older version keeps a schema that the older version works with. An error fails the
/// deployment.
///
/// Event and answer are those of the CDK's [provider
/// framework](https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources-readme.html#handling-lifecycle-events-onevent).
async fn answer(event: LambdaEvent<Value>) -> Result<Value, Diagnostic> {
    if event.payload["RequestType"] == "Delete" || goes_back(&event.payload) {
        return Ok(json!({}));
    }
    match prepare(Some(event.context.deadline())).await {
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

/// Returns whether an update goes back to a version before the one tried last. Lambda counts
/// versions up, even when an older program is deployed again.
fn goes_back(event: &Value) -> bool {
    let version = |properties: &str| -> Option<u64> {
        let version = event[properties]["version"].as_str()?;
        version.parse().ok()
    };
    let (now, before) = (
        version("ResourceProperties"),
        version("OldResourceProperties"),
    );
    now.zip(before).is_some_and(|(now, before)| now < before)
}

/// Prepares the cluster, within the function's timeout if it has one. A user in a shell gets a
/// refusal at once.
async fn prepare(deadline: Option<SystemTime>) -> Result<Vec<Step>, Box<dyn Error>> {
    let grantees = (Grantee::from_env()?, Grantee::sweeper_from_env()?);
    let config = Config::from_env()?;
    let Some(deadline) = deadline else {
        let mut connection = config.connect().await?;
        return Ok(all(&mut connection, &grantees).await?);
    };
    let mut connection = admitted(&config, deadline - FOR_THE_WORK).await?;
    let left = deadline - TO_TELL;
    let left = left.duration_since(SystemTime::now()).unwrap_or_default();
    match timeout(left, all(&mut connection, &grantees)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(format!(
            "not done within {} s: the build of an index continues by itself; deploy again once \
             sys.jobs shows that it has ended",
            left.as_secs(),
        )
        .into()),
    }
}

/// Runs every step: those of the game, and those of the sweep if it is deployed.
async fn all(
    connection: &mut Connection,
    (game, sweeper): &(Grantee, Option<Grantee>),
) -> Result<Vec<Step>, BootstrapError> {
    let mut steps = bootstrap(connection, game).await?;
    if let Some(sweeper) = sweeper {
        steps.extend(admit_sweeper(connection, sweeper).await?);
    }
    Ok(steps)
}

/// The part of the function's timeout for the statements and their indexes.
const FOR_THE_WORK: Duration = Duration::from_secs(600);

/// The time needed to report a timeout.
const TO_TELL: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_update_to_an_older_version_goes_back() {
        let update = |now: Value, before: Value| {
            json!({
                "RequestType": "Update",
                "ResourceProperties": { "version": now },
                "OldResourceProperties": { "version": before },
            })
        };
        assert!(goes_back(&update(json!("9"), json!("10"))));
        for event in [
            update(json!("10"), json!("9")),
            update(json!("9"), json!("9")),
            update(json!("$LATEST"), json!("9")),
            json!({ "RequestType": "Create", "ResourceProperties": { "version": "1" } }),
            json!({}),
            json!(null),
        ] {
            assert!(!goes_back(&event), "{event}");
        }
    }
}
