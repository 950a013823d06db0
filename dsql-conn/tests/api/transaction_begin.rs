//! A transaction on a connection that its caller used before, and left something on.

use std::borrow::Cow;
use std::time::Duration;

use dsql_conn::{Connection, Discard, Error};
use dsql_local::{Direction, Fault, LocalCluster, Refusal};
use futures_util::{FutureExt, TryStreamExt};
use tokio::task::yield_now;

use crate::support::{cluster, config};

const INCREMENT: &str = "UPDATE number SET value = value + 1";

/// A connection with a table of one row, whose value is 0, and that has cached the increment.
async fn connected(cluster: &LocalCluster) -> Connection {
    let mut connection = config(cluster).connect().await.unwrap();
    for statement in [
        "CREATE TABLE number (id int PRIMARY KEY, value int)",
        "INSERT INTO number VALUES (1, -1)",
    ] {
        connection.batch_execute(statement).await.unwrap();
    }
    increment(&mut connection).await.unwrap();
    connection
}

async fn increment(connection: &mut Connection) -> Result<u64, Error> {
    connection
        .transaction(async |tx| tx.execute(INCREMENT, &[]).await)
        .await
}

async fn value(cluster: &LocalCluster) -> String {
    let rows = cluster.query("SELECT value FROM number").await.unwrap();
    rows[0][0].clone().unwrap()
}

/// Drops an increment that the server is about to refuse, before its reply arrives.
async fn dropped(connection: &Connection, cluster: &LocalCluster, refusal: Refusal) {
    cluster.inject(Fault::delay(Direction::ToClient, Duration::from_millis(100)).always());
    let fault = Fault::refuse(refusal);
    cluster.inject(fault.clone());
    assert!(
        connection
            .execute_typed(INCREMENT, &[])
            .now_or_never()
            .is_none()
    );
    while cluster.struck(&fault) == 0 {
        yield_now().await;
    }
}

#[tokio::test]
async fn conflict_of_a_dropped_statement_runs_no_body_again() {
    let cluster = cluster().await;
    let mut connection = connected(&cluster).await;
    dropped(&connection, &cluster, Refusal::Conflict).await;
    assert_eq!(increment(&mut connection).await.unwrap(), 1);
    assert_eq!(value(&cluster).await, "1");
}

#[tokio::test]
async fn error_of_a_dropped_statement_leaves_no_transaction_open() {
    let cluster = cluster().await;
    let mut connection = connected(&cluster).await;
    let message = Cow::Borrowed("of a type that the service does not have");
    dropped(&connection, &cluster, Refusal::Unsupported { message }).await;
    assert_eq!(increment(&mut connection).await.unwrap(), 1);
    connection.execute_typed(INCREMENT, &[]).await.unwrap();
    drop(connection);
    assert_eq!(value(&cluster).await, "2");
}

#[tokio::test]
async fn transaction_begins_after_the_replies_to_a_dropped_one() {
    let cluster = cluster().await;
    let mut connection = connected(&cluster).await;
    cluster.inject(Fault::delay(Direction::ToClient, Duration::from_millis(100)).always());
    assert!(increment(&mut connection).now_or_never().is_none());
    assert_eq!(increment(&mut connection).await.unwrap(), 1);
    assert_eq!(value(&cluster).await, "1");
}

#[tokio::test]
async fn transaction_does_not_wait_for_rows_that_nobody_reads() {
    let cluster = cluster().await;
    let mut connection = connected(&cluster).await;
    let query = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";
    let rows = connection.query_raw(query, [0_i32; 0]).await.unwrap();
    let error = increment(&mut connection).await.unwrap_err();
    assert!(
        matches!(error, Error::Discarded(Discard::Unsettled)),
        "{error}"
    );
    let rows: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(rows.len(), 20_000);
    increment(&mut connection).await.unwrap();
    assert_eq!(value(&cluster).await, "1");
}

#[tokio::test]
async fn transaction_does_not_begin_in_one_of_the_callers() {
    let cluster = cluster().await;
    let mut connection = connected(&cluster).await;
    connection.batch_execute("BEGIN").await.unwrap();
    connection.execute(INCREMENT, &[]).await.unwrap();
    let error = increment(&mut connection).await.unwrap_err();
    assert!(
        matches!(error, Error::Discarded(Discard::InTransaction)),
        "{error}"
    );
    // The caller's own can go on.
    connection.batch_execute("COMMIT").await.unwrap();
    assert_eq!(value(&cluster).await, "1");
    increment(&mut connection).await.unwrap();
    assert_eq!(value(&cluster).await, "2");
}
