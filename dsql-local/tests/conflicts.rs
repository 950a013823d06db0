//! Transactions that meet: which of them commits, and that no statement waits.

mod support;

use std::collections::HashMap;

use dsql_local::{Effect, Fault, LocalCluster, Stage};
use serde::Deserialize;
use support::{connect, refused, run};
use tokio_postgres::{Client, SimpleQueryMessage};

const CONFLICT: (&str, &str) = ("40001", "change conflicts with another transaction (OC000)");

/// Returns a cluster with a table of three rows, and sessions.
async fn sessions<const N: usize>() -> (LocalCluster, [Client; N]) {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    run(
        &admin,
        &[
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)",
            "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)",
        ],
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..N {
        clients.push(connect(&cluster).await);
    }
    (cluster, clients.try_into().unwrap())
}

async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap();
    messages
        .into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|column| row.get(column).unwrap_or("null"))
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            _ => None,
        })
        .collect()
}

async fn loses(client: &Client) {
    let error = refused(client.batch_execute("COMMIT").await);
    assert_eq!((error.code().code(), error.message()), CONFLICT);
}

#[tokio::test]
async fn the_first_to_commit_wins() {
    let (_cluster, [one, two]) = sessions().await;
    for client in [&one, &two] {
        run(client, &["BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1"]).await;
    }
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["11"]);
    assert_eq!(rows(&two, "SELECT n FROM t WHERE id = 1").await, ["11"]);
    run(&two, &["COMMIT"]).await;
    loses(&one).await;
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["11"]);
}

/// PostgreSQL would keep its locks, and the other writer would wait until it ends.
#[tokio::test]
async fn a_session_that_stalls_keeps_no_locks() {
    let update = "UPDATE t SET n = n + 1 WHERE id = 1";
    for is_black_hole in [false, true] {
        let (cluster, [one]) = sessions().await;
        run(&one, &["BEGIN", update]).await;
        let stall = Fault::at(Stage::Commit, Effect::Stall);
        cluster.inject(stall.clone());
        let mut commit = std::pin::pin!(one.batch_execute("COMMIT"));
        let stalled = async {
            while cluster.struck(&stall) == 0 {
                tokio::task::yield_now().await;
            }
        };
        match is_black_hole {
            true => cluster.black_hole_all(),
            false => tokio::select! {
                _ = &mut commit => panic!("COMMIT was answered"),
                () = stalled => {}
            },
        }
        let two = connect(&cluster).await;
        run(&two, &[update]).await;
        assert_eq!(rows(&two, "SELECT n FROM t WHERE id = 1").await, ["11"]);
        cluster.release();
        commit.await.unwrap_err();
    }
}

#[tokio::test]
async fn the_snapshot_is_taken_at_begin() {
    let (_cluster, [one, two]) = sessions().await;
    run(&one, &["BEGIN"]).await;
    run(&two, &["UPDATE t SET n = 11 WHERE id = 1"]).await;
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["10"]);
    run(&one, &["UPDATE t SET n = n + 5 WHERE id = 1"]).await;
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["15"]);
    loses(&one).await;
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["11"]);
}

#[tokio::test]
async fn a_rollback_conflicts_with_no_transaction() {
    let (_cluster, [one, two, three]) = sessions().await;
    for client in [&one, &two] {
        run(client, &["BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1"]).await;
    }
    run(&one, &["ROLLBACK"]).await;
    run(&two, &["COMMIT"]).await;
    assert_eq!(rows(&three, "SELECT n FROM t WHERE id = 1").await, ["11"]);
    for client in [&one, &two] {
        run(client, &["BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1"]).await;
    }
    run(&two, &["ROLLBACK"]).await;
    run(&one, &["UPDATE t SET n = n + 1 WHERE id = 2", "COMMIT"]).await;
    assert_eq!(rows(&three, "SELECT n FROM t").await, ["30", "12", "21"]);
}

#[tokio::test]
async fn a_lost_session_conflicts_with_no_transaction() {
    let (cluster, [lost]) = sessions().await;
    run(&lost, &["BEGIN", "UPDATE t SET n = 11 WHERE id = 1"]).await;
    // Its backend notices the lost connection after this statement.
    let long = "SELECT count(*) FROM generate_series(1, 3000000)";
    let running = tokio::spawn(async move { lost.simple_query(long).await });
    let active =
        format!("SELECT FROM pg_stat_activity WHERE state = 'active' AND query = '{long}'");
    while cluster.query(&active).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    cluster.cut_all();
    running.await.unwrap().unwrap_err();
    let client = connect(&cluster).await;
    run(&client, &["UPDATE t SET n = n + 1 WHERE id = 1"]).await;
    assert_eq!(rows(&client, "SELECT n FROM t WHERE id = 1").await, ["11"]);
}

#[tokio::test]
async fn an_autocommit_statement_wins_over_an_open_writer() {
    let (_cluster, [one, two]) = sessions().await;
    let prepared = two
        .prepare("UPDATE t SET n = n + $1 WHERE id = 1")
        .await
        .unwrap();
    for extended in [false, true] {
        run(&one, &["BEGIN", "UPDATE t SET n = 0 WHERE id = 1"]).await;
        match extended {
            false => run(&two, &["UPDATE t SET n = n + 1 WHERE id = 1"]).await,
            true => assert_eq!(two.execute(&prepared, &[&1]).await.unwrap(), 1),
        }
        assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["0"]);
        loses(&one).await;
    }
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["12"]);
}

#[tokio::test]
async fn tables_without_a_key_have_conflicts() {
    let (_cluster, [one, two]) = sessions().await;
    run(
        &one,
        &[
            "CREATE TABLE note (text text)",
            "INSERT INTO note VALUES ('a'), ('a')",
        ],
    )
    .await;
    for client in [&one, &two] {
        run(client, &["BEGIN", "INSERT INTO note VALUES ('b')"]).await;
    }
    run(
        &one,
        &["UPDATE public.note SET text = 'c' WHERE text = 'a'"],
    )
    .await;
    run(&two, &["UPDATE note SET text = 'd' WHERE text = 'a'"]).await;
    run(&one, &["COMMIT"]).await;
    loses(&two).await;
    let left = "SELECT text FROM note ORDER BY text";
    assert_eq!(rows(&two, left).await, ["b", "c", "c"]);
}

#[tokio::test]
async fn prepared_statements_use_copies_and_then_tables() {
    let (_cluster, [one, two]) = sessions().await;
    let select = one
        .prepare("SELECT n FROM public.t WHERE id = $1")
        .await
        .unwrap();
    let add = one
        .prepare("UPDATE t SET n = n + $2 WHERE id = $1")
        .await
        .unwrap();
    for expected in [10, 11] {
        run(&one, &["BEGIN"]).await;
        run(&two, &["UPDATE t SET n = n + 1 WHERE id = 1"]).await;
        assert_eq!(one.execute(&add, &[&1, &5]).await.unwrap(), 1);
        let row = one.query_one(&select, &[&1]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), expected + 5);
        loses(&one).await;
        let row = one.query_one(&select, &[&1]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), expected + 1);
    }
}

#[tokio::test]
async fn a_pipelined_transaction_can_conflict() {
    let (_cluster, [one, two]) = sessions().await;
    run(&one, &["BEGIN; UPDATE t SET n = 1 WHERE id = 1"]).await;
    run(&two, &["BEGIN; UPDATE t SET n = 2 WHERE id = 1; COMMIT"]).await;
    let lost = "SELECT 1; COMMIT; SELECT 2";
    let error = refused(one.batch_execute(lost).await);
    assert_eq!((error.code().code(), error.message()), CONFLICT);
    assert_eq!(rows(&one, "SELECT n FROM t WHERE id = 1").await, ["2"]);
}

#[derive(Deserialize)]
struct Record {
    setup: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    sessions: [Vec<Step>; 2],
}

#[derive(Deserialize)]
struct Step {
    sql: String,
    tag: Option<String>,
    sqlstate: Option<String>,
    message: Option<String>,
}

/// The recorded cases in which the later COMMIT failed.
#[tokio::test]
async fn recorded_conflicts_have_the_recorded_answers() {
    let record: Record = serde_json::from_str(include_str!("recorded/conflicts.json")).unwrap();
    assert_eq!(record.cases.len(), 10);
    let cluster = LocalCluster::start().await.unwrap();
    let clients = [connect(&cluster).await, connect(&cluster).await];
    for statement in &record.setup {
        run(&clients[0], &[statement]).await;
    }
    // Recorded with the extended protocol.
    let mut answers = HashMap::new();
    for case in &record.cases {
        let loser_is_first = case.sessions[0].iter().any(|step| step.sqlstate.is_some());
        let order = if loser_is_first { [1, 0] } else { [0, 1] };
        for step in 0..3 {
            for session in order {
                let step = &case.sessions[session][step];
                let answer = clients[session].execute(&step.sql, &[]).await;
                let answer = match answer {
                    Ok(rows) => {
                        let tag = step.tag.clone().unwrap_or_default();
                        let counted = tag.rsplit(' ').next().and_then(|rows| rows.parse().ok());
                        assert_eq!(rows, counted.unwrap_or(0), "{}: {}", case.name, step.sql);
                        (None, None)
                    }
                    Err(error) => {
                        let error = refused::<()>(Err(error));
                        (
                            Some(error.code().code().to_owned()),
                            Some(error.message().to_owned()),
                        )
                    }
                };
                assert_eq!(
                    answer,
                    (step.sqlstate.clone(), step.message.clone()),
                    "{}: {}",
                    case.name,
                    step.sql
                );
                *answers.entry(case.name.clone()).or_insert(0) += 1;
            }
        }
    }
    assert!(answers.values().all(|answers| *answers == 6));
}
