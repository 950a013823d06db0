//! The program: what it prints, and how it ends.

use std::process::Output;

use dsql_local::LocalCluster;
use tokio::process::Command;

use crate::support::cluster;

/// Runs the program with an environment that names this cluster.
async fn doctor(cluster: &LocalCluster, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_dsql-doctor"))
        .args(arguments)
        .env_clear()
        .envs(cluster.variables())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", folder.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[tokio::test]
async fn program_prints_the_report_and_ends_with_0() {
    let cluster = cluster().await;
    let output = doctor(&cluster, &[]).await;
    let said = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("all is well: "), "{said}");
    assert!(
        said.contains("endpoint from DSQL_ENDPOINT, Region from the host name"),
        "{said}"
    );
    assert!(
        said.contains("source: the environment (AWS_ACCESS_KEY_ID)"),
        "{said}"
    );
    // No terminal: neither colours nor a progress display.
    assert!(!said.contains('\u{1b}'), "{said}");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let colored = printed(&doctor(&cluster, &["--color", "always"]).await);
    assert!(colored.contains("\u{1b}["), "{colored}");
}

#[tokio::test]
async fn exit_code_is_that_of_the_class() {
    let cluster = cluster().await;
    let id = cluster.cluster_id().to_owned();
    let with_scheme = format!("https://{}", cluster.endpoint());
    let by_url = format!("postgres://admin:hunter2@{}", cluster.endpoint());
    let elsewhere = format!("{id}.dsql.eu-west-1.on.aws");
    let port = cluster.address().port().to_string();
    let at = ["--hostaddr", "127.0.0.1", "--port", &port];
    for (arguments, code, words) in [
        (
            vec!["--database", "games"],
            2,
            "the only one that a cluster has",
        ),
        (vec![&*with_scheme], 2, "leave out the scheme"),
        (vec![&*by_url], 2, "it contains a password"),
        (vec!["--user", "game"], 7, "does not exist"),
        (
            [&[&*elsewhere][..], &at].concat(),
            6,
            "does not know the cluster",
        ),
        (vec!["--no-such-option"], 2, ""),
    ] {
        let output = doctor(&cluster, &arguments).await;
        let said = printed(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(
            said.lines().next().unwrap_or_default().contains(words),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn json_is_one_document_and_watch_prints_one_a_line() {
    let cluster = cluster().await;
    let output = doctor(&cluster, &["--json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["class"], "healthy");

    let watch = ["--watch", "0.01", "--count", "3", "--json"];
    let lines = printed(&doctor(&cluster, &watch).await);
    let reports: Vec<serde_json::Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(reports.len(), 3);

    let table = printed(&doctor(&cluster, &watch[..4]).await);
    assert!(table.contains("3 examinations, 0 failed"), "{table}");
    for words in ["1: all is well", "3: all is well", "p50", "p99", "login"] {
        assert!(table.contains(words), "no {words:?} in {table}");
    }
}
