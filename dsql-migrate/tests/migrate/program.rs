//! The program: what it prints, and how it ends.
#![cfg(feature = "cli")]

use std::path::Path;
use std::process::Output;

use dsql_local::LocalCluster;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{SHOP, cluster, expected, left};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, sql) in files {
        std::fs::write(folder.path().join(name), sql).unwrap();
    }
    folder
}

/// Runs the program with an environment that names this cluster.
async fn migrate(cluster: &LocalCluster, folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dsql-migrate"))
        .args(arguments)
        .arg("--dir")
        .arg(folder)
        .env_clear()
        .envs(cluster.variables())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

/// Checks the exit code, and returns what was printed.
fn printed(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    (out, err)
}

#[tokio::test]
async fn program_applies_a_folder_and_reports_it() {
    let cluster = cluster().await;
    let shop = folder(SHOP);
    let run = async |arguments: &[&str]| migrate(&cluster, shop.path(), arguments).await;

    printed(&run(&["status"]).await, 0);
    printed(&run(&["status", "--check"]).await, 9);
    let (planned, _) = printed(&run(&["up", "--dry-run"]).await, 0);
    assert!(
        planned.contains("-- 0005_products.sql:5: statement 5\nUPDATE"),
        "{planned}"
    );
    assert!(
        planned.ends_with("-- 17 statements, none was run\n"),
        "{planned}"
    );

    let (done, progress) = printed(&run(&["up"]).await, 0);
    assert_eq!(done.lines().count(), 17, "{done}");
    assert!(
        done.starts_with("applied  0001_items.sql:1: statement 1\n"),
        "{done}"
    );
    assert!(
        progress.contains("waiting for the job of 0003_indexes.sql:1"),
        "{progress}"
    );
    assert_eq!(left(&cluster).await, expected());

    assert_eq!(printed(&run(&["up"]).await, 0).0, "nothing to do\n");
    let (status, _) = printed(&run(&["status", "--json", "--check"]).await, 0);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(
        status["files"][0],
        json!({ "name": "0001_items", "state": "applied" })
    );
    assert_eq!(status["pending"], json!([]));
}

#[tokio::test]
async fn exit_code_tells_the_class_of_the_failure() {
    let cluster = cluster().await;
    for (files, arguments, code, words) in [
        (
            &[("1_a.sql", "DROP TABLE a")][..],
            &["up"][..],
            4,
            "DROP TABLE IF EXISTS",
        ),
        (
            &[(
                "1_a.sql",
                "CREATE TABLE IF NOT EXISTS a (id serial PRIMARY KEY)",
            )],
            &["up"],
            4,
            "[serial_type]",
        ),
        (
            &[(
                "1_a.sql",
                "CREATE TABLE IF NOT EXISTS a (id serial PRIMARY KEY)",
            )],
            &["lint"],
            4,
            "[serial_type]",
        ),
        (
            &[(
                "1_a.sql",
                "CREATE TABLE IF NOT EXISTS a (id serial PRIMARY KEY)",
            )],
            &["up", "--no-lint"],
            6,
            "1_a.sql:1: statement 1 failed",
        ),
        (
            &[("1_a.sql", "SELECT 1")],
            &["baseline", "2"],
            2,
            "there is no migration 2",
        ),
        (
            &[("1_a.sql", "SELECT 1")],
            &["status", "--endpoint", "nowhere"],
            2,
            "nowhere",
        ),
    ] {
        let folder = folder(files);
        let output = migrate(&cluster, folder.path(), arguments).await;
        let (_, said) = printed(&output, code);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }

    let first = folder(&[("1_a.sql", "SELECT 1")]);
    printed(
        &migrate(&cluster, first.path(), &["baseline", "1"]).await,
        0,
    );
    let changed = folder(&[("1_a.sql", "SELECT 2")]);
    let (_, said) = printed(&migrate(&cluster, changed.path(), &["up"]).await, 5);
    assert!(said.contains("  - SELECT 1\n  + SELECT 2"), "{said}");

    let denied = dsql_local::Refusal::NotAuthorized {
        arn: cluster.admin().arn().to_owned(),
        action: dsql_local::Action::DbConnectAdmin,
        resource: String::new(),
    };
    cluster.inject(dsql_local::Fault::refuse(denied).always());
    printed(&migrate(&cluster, first.path(), &["status"]).await, 3);
}
