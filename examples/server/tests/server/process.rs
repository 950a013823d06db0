//! The program: its start, its traces and its end.

use std::process::Stdio;

use dsql_local::LocalCluster;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::collector::collect;

/// Starts the server with the environment of a deployment.
fn start(cluster: &LocalCluster, collector: Option<&str>) -> Child {
    Command::new(env!("CARGO_BIN_EXE_server"))
        .env_clear()
        .envs(cluster.variables())
        .env("NOTES_LISTEN", "127.0.0.1:0")
        .envs(collector.map(|address| ("OTEL_EXPORTER_OTLP_ENDPOINT", address)))
        .env("NO_COLOR", "1")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Starts the server, sends it a request and `SIGTERM`. Returns its page of metrics and its log.
async fn run(cluster: &LocalCluster, collector: Option<&str>) -> (String, String) {
    let mut server = start(cluster, collector);
    let mut lines = BufReader::new(server.stdout.take().unwrap());
    let mut log = String::new();
    let address = loop {
        let start = log.len();
        assert_ne!(lines.read_line(&mut log).await.unwrap(), 0, "{log}");
        if let Some((_, address)) = log[start..].split_once("serves address=") {
            break format!("http://{}", address.trim());
        }
    };
    let get = async |path: &str| {
        let response = reqwest::get(format!("{address}{path}")).await.unwrap();
        assert!(response.status().is_success(), "{path}");
        response.text().await.unwrap()
    };
    assert_eq!(get("/notes").await, "[]");
    let metrics = get("/metrics").await;

    let id = server.id().unwrap().try_into().unwrap();
    kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    lines.read_to_string(&mut log).await.unwrap();
    assert!(server.wait().await.unwrap().success(), "{log}");
    (metrics, log)
}

#[tokio::test]
async fn sigterm_ends_the_program_after_its_requests() {
    let cluster = LocalCluster::start().await.unwrap();
    let (metrics, log) = run(&cluster, None).await;
    assert!(
        metrics.contains("\ndsql_token_signings_total{"),
        "{metrics}"
    );
    assert!(log.contains("stopped aborted=0"), "{log}");
    // Without a collector, the end of a span is a line.
    assert!(log.contains("GET /notes"), "{log}");
    let secret = cluster.admin().secret_access_key();
    assert!(![metrics, log].concat().contains(secret));
}

#[tokio::test]
async fn traces_reach_the_collector_before_the_program_ends() {
    let cluster = LocalCluster::start().await.unwrap();
    let (address, mut received) = collect().await;
    let (_, log) = run(&cluster, Some(&address)).await;
    let mut traces = Vec::new();
    while let Ok(part) = received.try_recv() {
        traces.extend_from_slice(&part);
    }
    // Strings of the protocol are plain bytes.
    let traces = String::from_utf8_lossy(&traces);
    for text in [
        "GET /notes",
        "dsql.connect",
        "service.name",
        cluster.region(),
    ] {
        assert!(traces.contains(text), "{text}: {log}");
    }
    assert!(!traces.contains(cluster.admin().secret_access_key()));
}
