//! The metrics that the deployed program writes for CloudWatch.

use std::collections::BTreeMap;
use std::time::Duration;

use dsql_local::{Fault, Refusal};
use serde_json::{Value, json};

use crate::account::{API_KEY, Account, keyed};
use crate::runtime_api::RuntimeApi;

/// Runs the program: a request, and one that conflicts, whose connection is lost and refused, and
/// whose `COMMIT` is lost. Returns its log.
async fn run(account: &Account) -> String {
    let mut api = RuntimeApi::start().await.unwrap();
    let mut program = account.command(env!("CARGO_BIN_EXE_generate-game"), &account.function);
    let process = program
        .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", "the-function")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_LOG_LEVEL", "DEBUG")
        .env("DSQL_USER", "game")
        .env("DSQL_SEARCH_PATH", "games")
        .env("GAME_ANSWER_WITHIN_MILLIS", "60000");
    let mut process = process.spawn().unwrap();
    api.initialized().await;
    let cluster = &account.cluster;
    for faults in [
        vec![],
        vec![Fault::conflict_commits(1)],
        vec![Fault::lose_commit_reply(), Fault::refuse(Refusal::WakingUp)],
    ] {
        for fault in faults {
            cluster.inject(fault);
        }
        let mut event = keyed("caller", &[], &json!({ "title": TITLE }).to_string());
        let headers = event["multiValueHeaders"].as_object_mut().unwrap();
        headers.remove("idempotency-KEY");
        let answer = api.invoke(event, Duration::from_secs(120)).await.unwrap();
        assert_eq!(answer["statusCode"], 201, "{answer}");
    }
    process.start_kill().unwrap();
    let output = process.wait_with_output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The documents of metrics in a log.
fn documents(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line.get("_aws").is_some())
        .collect()
}

/// Adds up each metric, by the values of its dimensions.
fn sums(documents: &[Value]) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for document in documents {
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "GenerateGame");
        let names = |list: &Value| list.as_array().unwrap().clone();
        let dimensions = names(&directive["Dimensions"][0]).into_iter();
        let dimensions = dimensions.map(|name| document[name.as_str().unwrap()].clone());
        let dimensions: Vec<_> = dimensions
            .map(|it| it.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(dimensions[0], "the-function");
        for metric in names(&directive["Metrics"]) {
            let name = metric["Name"].as_str().unwrap();
            let key = format!("{name} {}", dimensions[1..].join(" "));
            *sums.entry(key.trim().to_owned()).or_default() += match &document[name] {
                // A histogram: how many values.
                Value::Array(values) => values.len() as f64,
                value => value.as_f64().unwrap(),
            };
        }
    }
    sums
}

#[tokio::test]
async fn the_log_has_the_pools_metrics_for_cloudwatch() {
    let account = Account::bootstrapped().await;
    let log = run(&account).await;
    let documents = documents(&log);
    let sums = sums(&documents);
    for (metric, expected) in [
        ("dsql.connects opened", 2.0),
        ("dsql.connects failed", 1.0),
        ("dsql.retries data_conflict", 1.0),
        ("dsql.lost_commits committed", 1.0),
    ] {
        assert_eq!(sums.get(metric), Some(&expected), "{metric} of {sums:?}");
    }
    assert!(sums["db.client.connection.wait_time"] >= 3.0, "{sums:?}");
    assert!(sums["db.client.connection.create_time"] >= 1.0, "{sums:?}");
    let others = sums.keys().filter(|name| !name.contains("connect"));
    let others: Vec<_> = others.collect();
    assert_eq!(
        others,
        ["dsql.lost_commits committed", "dsql.retries data_conflict"]
    );
}

#[tokio::test]
async fn no_metric_has_a_secret_or_a_part_of_an_event() {
    let account = Account::bootstrapped().await;
    let log = run(&account).await;
    let documents = documents(&log);
    assert!(!documents.is_empty());
    let written = Value::Array(documents).to_string();
    let function = &account.function;
    for secret in [
        TITLE,
        API_KEY,
        function.access_key_id(),
        function.secret_access_key(),
        function.session_token().unwrap(),
    ] {
        assert!(!written.contains(secret));
        // What the log itself has of it is checked elsewhere; keys are nowhere.
        assert!(secret == TITLE || !log.contains(secret));
    }
}

/// The title of the posted games.
const TITLE: &str = "A title of an event";
