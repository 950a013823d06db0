//! Lost connections, unavailable servers and deadlines: when a transaction's body is retried.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, Pool, RetryPolicy, Stats, Transaction};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};

use crate::support::{cluster_with_pool, notes};

/// Inserts a row, and counts the attempts in `runs`.
pub(crate) async fn insert(
    pool: &Pool,
    policy: RetryPolicy,
    runs: &AtomicU32,
) -> Result<(), Error> {
    pool.transaction_with(policy, async |tx: Transaction| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
}

/// Inserts a row under these faults, and checks that it was inserted once. Returns the number of
/// attempts.
pub(crate) async fn runs_under(
    faults: impl IntoIterator<Item = Fault>,
) -> (u32, LocalCluster, Stats) {
    let (cluster, pool) = cluster_with_pool().await;
    for fault in faults {
        cluster.inject(fault);
    }
    let runs = AtomicU32::new(0);
    insert(&pool, RetryPolicy::new(), &runs).await.unwrap();
    assert_eq!(notes(&cluster).await, 1);
    let stats = pool.stats();
    (runs.into_inner(), cluster, stats)
}

pub(crate) fn refuse(refusal: Refusal) -> Fault {
    Fault::at(Stage::Statement, Effect::Refuse(refusal))
}

#[tokio::test]
async fn connection_lost_at_begin_is_replaced() {
    let (runs, cluster, stats) = runs_under([Fault::at(Stage::Statement, Effect::Cut)]).await;
    assert_eq!((runs, cluster.counts().logins), (2, 2));
    assert_eq!(stats.lost_connections, 1);
}

#[tokio::test]
async fn connection_lost_in_the_body_is_replaced() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            cluster.cut_all();
        }
        tx.execute("INSERT INTO note VALUES ('two')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(runs.into_inner(), 2);
    assert_eq!(notes(&cluster).await, 2);
}

#[tokio::test]
async fn body_that_loses_every_connection_runs_four_times() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            cluster.cut_all();
            // The body ignores the error.
            let _ = tx.batch_execute("SELECT 1").await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::RolledBack { .. }), "{error}");
    assert_eq!(runs.into_inner(), 4);
    assert_eq!(notes(&cluster).await, 0);
    assert_eq!(pool.stats().lost_connections, 4);
}

#[tokio::test]
async fn connection_lost_at_every_begin_is_replaced_three_times() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(Stage::Statement, Effect::Cut).always());
    let runs = AtomicU32::new(0);
    let error = insert(&pool, RetryPolicy::new(), &runs).await.unwrap_err();
    assert!(matches!(error, Error::Query(_)), "{error}");
    assert_eq!(runs.into_inner(), 4);
    cluster.clear_faults();
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn unavailable_server_is_retried() {
    let (runs, cluster, _) = runs_under([refuse(Refusal::ServerUnavailable)]).await;
    assert_eq!((runs, cluster.counts().logins), (2, 1), "at BEGIN");

    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx| {
        if runs.fetch_add(1, Ordering::SeqCst) < 3 {
            cluster.inject(refuse(Refusal::ServerUnavailable));
        }
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!((runs.into_inner(), cluster.counts().logins), (4, 1));
}

#[tokio::test]
async fn forgotten_statements_cost_one_attempt() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let count = async || {
        let body = async |tx: Transaction| {
            runs.fetch_add(1, Ordering::SeqCst);
            let one: i32 = tx.query_one("SELECT 1", &[]).await?.get(0);
            let two: i32 = tx.query_one("SELECT 2", &[]).await?.get(0);
            Ok::<_, Error>(one + two)
        };
        pool.transaction(body).await
    };
    count().await.unwrap();
    let connection = pool.get().await.unwrap();
    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    drop(connection);
    assert_eq!(count().await.unwrap(), 3);
    assert_eq!((runs.into_inner(), cluster.counts().logins), (3, 1));
}

#[tokio::test]
async fn body_past_the_deadline_is_rolled_back() {
    let (cluster, pool) = cluster_with_pool().await;
    let policy = RetryPolicy::new().timeout(Duration::from_millis(300));
    let error = pool
        .transaction_with(policy, async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            pending::<Result<(), Error>>().await
        })
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::TransactionTimedOut { attempts: 1, .. }),
        "{error}"
    );
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(notes(&cluster).await, 0);
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn no_commit_is_sent_after_the_deadline() {
    let (cluster, pool) = cluster_with_pool().await;
    let policy = RetryPolicy::new().timeout(Duration::ZERO);
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert!(!error.may_have_applied(), "{error}");
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn checkout_ends_at_the_deadline() {
    let (_cluster, pool) = cluster_with_pool().await;
    let held = pool.get().await.unwrap();
    let policy = RetryPolicy::new().timeout(Duration::from_millis(50));
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { .. }), "{error}");
    drop(held);
}
