//! The program: what it prints, and how it ends.
#![cfg(feature = "cli")]

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Output;

use dsql_local::LocalCluster;
use rustix::pty::OpenptFlags;
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
        planned.ends_with("-- 17 statements, nothing was run\n"),
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

    let missing = folder(&[("2_b.sql", "SELECT 1")]);
    let (_, said) = printed(&migrate(&cluster, missing.path(), &["up"]).await, 5);
    assert!(said.contains("--allow-missing"), "{said}");

    let denied = dsql_local::Refusal::NotAuthorized {
        arn: cluster.admin().arn().to_owned(),
        action: dsql_local::Action::DbConnectAdmin,
        resource: String::new(),
    };
    cluster.inject(dsql_local::Fault::refuse(denied).always());
    printed(&migrate(&cluster, first.path(), &["status"]).await, 3);
}

#[tokio::test]
async fn status_shows_a_changed_file_and_its_lines_once() {
    let cluster = cluster().await;
    let first = folder(&[("1_a.sql", "SELECT 1"), ("2_b.sql", "SELECT 1")]);
    let baseline = migrate(&cluster, first.path(), &["baseline", "1"]).await;
    printed(&baseline, 0);
    let (status, _) = printed(&migrate(&cluster, first.path(), &["status"]).await, 0);
    assert!(status.ends_with("\n1 statement is pending\n"), "{status}");

    let changed = folder(&[("1_a.sql", "SELECT 2"), ("2_b.sql", "SELECT 1")]);
    for (arguments, code) in [(&["status"][..], 0), (&["status", "--check"], 5)] {
        let (out, err) = printed(&migrate(&cluster, changed.path(), arguments).await, code);
        assert!(out.starts_with("changed  1_a\npending  2_b\n"), "{out}");
        assert_eq!((out + &err).matches("  + SELECT 2").count(), 1);
    }
}

#[tokio::test]
async fn a_terminal_shows_each_statement_once() {
    let cluster = cluster().await;
    let table = "CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY)";
    let folder = folder(&[("1_a.sql", table), ("2_b.sql", "INSERT INTO a VALUES (1)")]);
    let shown = on_a_terminal(&cluster, folder.path(), &["up"]).await;
    for place in ["1_a.sql:1", "2_b.sql:1"] {
        assert_eq!(shown.matches(place).count(), 1, "{shown}");
    }
    assert!(shown.ends_with("applied 2 statements\r\n"), "{shown}");
}

/// Runs the program on a terminal of its own, and returns what the terminal showed.
async fn on_a_terminal(cluster: &LocalCluster, folder: &Path, arguments: &[&str]) -> String {
    let terminal = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&terminal).unwrap();
    rustix::pty::unlockpt(&terminal).unwrap();
    let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap();
    let name = name.into_string().unwrap();
    let open = || File::options().read(true).write(true).open(&name).unwrap();
    // Keeps the terminal open, so that nothing is lost when the program ends.
    let kept = open();
    let status = Command::new(env!("CARGO_BIN_EXE_dsql-migrate"))
        .args(arguments)
        .arg("--dir")
        .arg(folder)
        .env_clear()
        .envs(cluster.variables())
        .stdout(open())
        .stderr(open())
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();
    assert!(status.success());
    let mut shown = vec![0; 4096];
    let length = File::from(terminal).read(&mut shown).unwrap();
    drop(kept);
    String::from_utf8(shown[..length].to_vec()).unwrap()
}
