//! Conflicts with other transactions: the body is retried on the same connection.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, RetryPolicy, Transaction};
use dsql_local::{Effect, Fault, Refusal, Stage};

use crate::support::{cluster, cluster_with_pool, notes, pool};
use crate::transaction_retry::{insert, refuse, runs_under};

#[tokio::test]
async fn conflict_at_commit_is_retried_on_the_same_connection() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::conflict_commits(3));
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(runs.into_inner(), 4);
    assert_eq!(notes(&cluster).await, 1);
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn conflict_at_begin_is_retried() {
    let (runs, cluster, stats) = runs_under([refuse(Refusal::Conflict)]).await;
    assert_eq!((runs, cluster.counts().logins), (2, 1));
    assert_eq!(stats.data_conflicts, 1);
}

#[tokio::test]
async fn conflict_at_a_statement_is_retried() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(
        Stage::Statement,
        Effect::Refuse(Refusal::SchemaChanged),
    ));
    pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn conflict_that_the_body_ignores_is_retried() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx| {
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            let fault = Effect::Refuse(Refusal::Conflict);
            cluster.inject(Fault::at(Stage::Statement, fault));
        }
        let _ = tx.execute("INSERT INTO note VALUES ('one')", &[]).await;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(runs.into_inner(), 2);
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn retry_keeps_the_connection_while_others_wait() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::conflict_commits(2));
    let order = Mutex::new(Vec::new());
    let transaction = async {
        let body = async |tx: Transaction| {
            order.lock().unwrap().push("body");
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await
        };
        pool.transaction(body).await.unwrap()
    };
    let waiting = async {
        let _connection = pool.get().await.unwrap();
        order.lock().unwrap().push("next");
    };
    tokio::join!(biased; transaction, waiting);
    assert_eq!(*order.lock().unwrap(), ["body", "body", "body", "next"]);
}

#[tokio::test]
async fn concurrent_writers_of_one_row_all_commit() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 8);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE counter (id int PRIMARY KEY, value int)")
        .await
        .unwrap();
    connection
        .batch_execute("INSERT INTO counter VALUES (1, 0)")
        .await
        .unwrap();
    drop(connection);
    let policy = RetryPolicy::default().max_attempts(1000);
    let writers = (0..8).map(|_| async {
        for _ in 0..5 {
            pool.transaction_with(policy, async |tx| {
                let row = tx
                    .query_one("SELECT value FROM counter WHERE id = 1", &[])
                    .await?;
                let next = row.get::<_, i32>(0) + 1;
                tx.execute("UPDATE counter SET value = $1 WHERE id = 1", &[&next])
                    .await?;
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
        }
    });
    futures_util::future::join_all(writers).await;
    let value = cluster.query("SELECT value FROM counter").await.unwrap();
    assert_eq!(value[0][0].as_deref(), Some("40"));
}

#[tokio::test]
async fn schema_conflicts_get_more_attempts_than_data_conflicts() {
    let schema_changes = refuse(Refusal::SchemaChanged).times(12);
    let (runs, _, stats) = runs_under([schema_changes]).await;
    assert_eq!(runs, 13);
    assert_eq!((stats.schema_conflicts, stats.data_conflicts), (12, 0));
}

#[tokio::test]
async fn conflicts_end_after_max_attempts() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::conflict_commits(1000));
    let policy = RetryPolicy::default().max_attempts(3);
    let error: Error = pool
        .transaction_with(policy, async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Conflict { attempts: 3, last } if last.message().contains("OC000")),
        "{error}"
    );
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn last_schema_conflict_is_returned() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(refuse(Refusal::SchemaChanged).always());
    let nothing = Duration::ZERO;
    let policy = RetryPolicy::new().schema_backoff(nothing, nothing);
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    let Error::Conflict { attempts: 16, last } = &error else {
        panic!("{error}");
    };
    assert!(last.message().contains("OC001"), "{error}");
    assert_eq!(pool.stats().schema_conflicts, 16);
}

#[tokio::test]
async fn conflicts_end_at_the_deadline() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::conflict_commits(usize::MAX));
    let policy = RetryPolicy::new()
        .max_attempts(u32::MAX)
        .timeout(Duration::from_millis(300));
    let runs = AtomicU32::new(0);
    let error = insert(&pool, policy, &runs).await.unwrap_err();
    // A COMMIT may be in flight at the deadline.
    let is_unknown = matches!(error, Error::CommitUnknown { .. });
    let is_known = matches!(
        error,
        Error::Conflict { .. } | Error::TransactionTimedOut { .. }
    );
    assert!(is_unknown || is_known, "{error}");
    assert_eq!(error.may_have_applied(), is_unknown);
    assert_eq!(notes(&cluster).await, 0);
}
