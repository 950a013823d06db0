//! A thousand sessions, large messages, and an engine that dies.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::Duration;

use dsql_local::{LocalCluster, Outcome};
use futures_util::future::join_all;
use support::{connect, refused};
use wire::Wire;

#[tokio::test]
async fn a_thousand_sessions_run_statements_at_once() {
    const SESSIONS: usize = 1_000;
    let cluster = LocalCluster::start().await.unwrap();
    let memory = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok())
    };
    let before = memory();
    let clients = join_all((0..SESSIONS).map(|_| connect(&cluster))).await;
    let answers = join_all(
        clients
            .iter()
            .map(|client| client.query_one("SELECT 1", &[])),
    )
    .await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(cluster.counts().backends, SESSIONS as u64);
    if let (Some(before), Some(after)) = (before, memory()) {
        let each = after.saturating_sub(before) / SESSIONS;
        println!("{each} KiB a session, client and server");
        assert!(each < 512, "{each} KiB a session");
    }
}

#[tokio::test]
async fn a_message_above_10_mib_closes_the_session() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut wire = Wire::connect(&cluster).await;
    let fits = format!("SELECT length('{}')", "x".repeat(10 * 1024 * 1024 - 100));
    assert_eq!(wire.simple(&fits).await[0].error, None);
    let too_long = format!("SELECT length('{}')", "x".repeat(10 * 1024 * 1024));
    assert!(wire.simple(&too_long).await.is_empty());
    drop(wire);
    let outcome = cluster.connections()[0].outcome.clone();
    let Outcome::Failed(cause) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(cause.contains("too long"), "{cause}");
}

#[tokio::test]
async fn a_dead_engine_is_reported_to_sessions_and_owner() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    client.batch_execute("SELECT 1").await.unwrap();
    let pid = std::fs::read_to_string(cluster.folder().join("data/postmaster.pid")).unwrap();
    let killed = std::process::Command::new("kill")
        .args(["-KILL", pid.lines().next().unwrap()])
        .status()
        .unwrap();
    assert!(killed.success());
    // A long timeout: only a missing report fails the test.
    let log = tokio::time::timeout(Duration::from_secs(30), cluster.engine_ended()).await;
    assert!(log.is_ok());
    let client = client.batch_execute("SELECT 1").await;
    assert!(client.is_err());
    let later = connect(&cluster).await.batch_execute("SELECT 1").await;
    let error = refused(later);
    assert_eq!(error.severity(), "FATAL");
    assert!(
        error
            .message()
            .contains("the engine of this local cluster ended")
    );
}
