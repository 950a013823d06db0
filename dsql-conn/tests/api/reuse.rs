//! A checkout waits for the connection's task only if the task has something left to do.

use dsql_conn::Pool;
use dsql_conn::tokio_postgres::Client;
use futures_util::FutureExt;

use crate::support::{builder, cluster, config, ends_arrive, until};

/// Whether the next checkout needs no other task to run.
fn is_immediate(pool: &Pool) -> bool {
    pool.get().now_or_never().is_some()
}

#[tokio::test]
async fn connection_whose_work_is_done_is_reused_at_once() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(1).build();
    for _ in 0..20 {
        let connection = pool.get().await.unwrap();
        connection.query("SELECT 1", &[]).await.unwrap();
        drop(connection);
        assert!(is_immediate(&pool), "after a query");

        let connection = pool.get().await.unwrap();
        let client: &Client = &connection;
        client.simple_query("SELECT 1; SELECT 2").await.unwrap();
        drop(connection);
        assert!(is_immediate(&pool), "after the driver's own query");

        pool.transaction(async |tx| Ok(tx.batch_execute("SELECT 1").await?))
            .await
            .unwrap();
        assert!(is_immediate(&pool), "after a transaction");
    }
}

#[tokio::test]
async fn statement_that_was_only_queued_is_waited_for() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(1).build();
    for _ in 0..20 {
        let connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        let client: &Client = &connection;
        let queued = client.batch_execute("SELECT 1").now_or_never();
        assert!(queued.is_none());
        drop(connection);
        assert!(!is_immediate(&pool));
        // It is waited for, and the connection is used again.
        drop(pool.get().await.unwrap());
    }
    assert_eq!(pool.stats().opened, 1);
}

#[tokio::test]
async fn connection_whose_end_has_arrived_is_not_reused() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(1).build();
    for _ in 0..20 {
        let connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        drop(connection);
        cluster.cut_all();
        until(&cluster, |counts| counts.open == 0).await;
        ends_arrive(cluster.address().port()).await;
        let connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
    }
}
