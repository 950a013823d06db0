//! Statement timeouts, and statements that wait behind unread rows.

use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, RetryPolicy};
use dsql_local::{Effect, Fault, Stage};
use futures_util::{TryStreamExt, pin_mut};

use crate::support::{builder, cluster, cluster_with_pool, config, notes, pool};

/// More rows than the driver buffers.
const ROWS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";

/// Rows that arrive for longer than a short timeout.
const MANY_ROWS: &str = "SELECT generate_series(1, 2000000)";

const SLOW: &str = "SELECT pg_sleep(0.3)";

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn statement_behind_unread_rows_reports_them() {
    let cluster = cluster().await;
    let config = config(&cluster).statement_timeout(Duration::from_millis(300));
    let pool = builder(config)
        .max_size(1)
        .settle_timeout(Duration::ZERO)
        .build();
    let connection = pool.get().await.unwrap();
    let rows = connection.query_raw(ROWS, [0_i32; 0]).await.unwrap();
    pin_mut!(rows);
    rows.try_next().await.unwrap();
    let error = connection.batch_execute("SELECT 1").await.unwrap_err();
    let Error::StatementTimeout {
        unread_rows: true, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(
        error.to_string().contains("rows of another query"),
        "{error}"
    );
}

#[tokio::test]
async fn transaction_behind_unread_rows_reports_them() {
    let (cluster, pool) = cluster_with_pool().await;
    let policy = RetryPolicy::new().timeout(Duration::from_millis(500));
    let runs = AtomicU32::new(0);
    let transaction = pool.transaction_with(policy, async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        let rows = tx.query_raw(ROWS, [0_i32; 0]).await?;
        pin_mut!(rows);
        while rows.try_next().await?.is_some() {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        }
        Ok(())
    });
    let error: Error = transaction.await.unwrap_err();
    let Error::TransactionTimedOut {
        unread_rows: true,
        attempts: 1,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(!error.to_string().contains("make it shorter"), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn rows_of_the_statement_itself_are_not_blamed() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    let rows = connection.prepare_cached(MANY_ROWS).await.unwrap();
    let short = connection.with_statement_timeout(SHORT);
    let error = short.query(&rows, &[]).await.unwrap_err();
    let Error::StatementTimeout {
        unread_rows: false, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(!connection.is_closed(), "the other rows were skipped");
    connection.query("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn rows_that_nothing_waits_behind_are_not_blamed() {
    let (_cluster, pool) = cluster_with_pool().await;
    let policy = RetryPolicy::new().timeout(Duration::from_millis(500));
    let transaction = pool.transaction_with(policy, async |tx| {
        let rows = tx.query_raw(ROWS, [0_i32; 0]).await?;
        pin_mut!(rows);
        rows.try_next().await?;
        pending::<Result<(), Error>>().await
    });
    let error: Error = transaction.await.unwrap_err();
    let Error::TransactionTimedOut {
        unread_rows: false, ..
    } = error
    else {
        panic!("{error}");
    };
}

#[tokio::test]
async fn commit_behind_unread_rows_reports_them() {
    let cluster = cluster().await;
    let deadline = Duration::from_secs(1);
    let pool = builder(config(&cluster)).settle_timeout(deadline).build();
    let policy = RetryPolicy::new().timeout(deadline);
    let kept = Mutex::new(None);
    let transaction = pool.transaction_with(policy, async |tx| {
        let rows = tx.query_raw(ROWS, [0_i32; 0]).await?;
        *kept.lock().unwrap() = Some(rows);
        Ok(())
    });
    let error: Error = transaction.await.unwrap_err();
    let Error::TransactionTimedOut {
        unread_rows: true, ..
    } = error
    else {
        panic!("{error}");
    };
}

#[tokio::test]
async fn statement_that_timed_out_settles_on_its_connection() {
    let cluster = cluster().await;
    let after = Duration::from_millis(10);
    let pool = builder(config(&cluster).statement_timeout(after))
        .max_size(1)
        .build();
    let connection = pool.get().await.unwrap();
    let error = connection.batch_execute(SLOW).await.unwrap_err();
    let Error::StatementTimeout {
        after: reported,
        unread_rows: false,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(reported, after);
    assert!(error.may_have_applied());
    assert!(!connection.is_closed(), "it had time to settle");
    drop(connection);
    drop(pool.get().await.unwrap());
    assert_eq!((cluster.counts().logins, pool.stats().closed), (1, 0));
}

#[tokio::test]
async fn statement_that_does_not_settle_costs_its_connection() {
    let cluster = cluster().await;
    let config = config(&cluster).statement_timeout(Duration::from_millis(10));
    let pool = builder(config)
        .max_size(1)
        .settle_timeout(Duration::from_millis(10))
        .build();
    let connection = pool.get().await.unwrap();
    cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
    let error = connection.batch_execute("SELECT 1").await.unwrap_err();
    assert!(matches!(error, Error::StatementTimeout { .. }), "{error}");
    assert!(connection.is_closed());
    drop(connection);
    let replaced = pool.get().await.unwrap();
    replaced
        .with_statement_timeout(None)
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn call_has_a_statement_timeout_of_its_own() {
    let cluster = cluster().await;
    let short = Duration::from_millis(10);
    let impatient = config(&cluster)
        .statement_timeout(short)
        .connect()
        .await
        .unwrap();
    impatient
        .with_statement_timeout(None)
        .batch_execute(SLOW)
        .await
        .unwrap();
    let patient = impatient.with_statement_timeout(Duration::from_secs(60));
    patient.query(SLOW, &[]).await.unwrap();

    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    let error = connection
        .with_statement_timeout(short)
        .batch_execute(SLOW)
        .await;
    assert!(
        matches!(error, Err(Error::StatementTimeout { .. })),
        "{error:?}"
    );
    // The timeout applies to that handle only.
    connection.batch_execute(SLOW).await.unwrap();
}

#[tokio::test]
async fn statement_timeout_in_a_transaction_is_not_retried() {
    let (cluster, _) = cluster_with_pool().await;
    for settles in [true, false] {
        let config = config(&cluster).statement_timeout(Duration::from_millis(10));
        let pool = match settles {
            true => builder(config).build(),
            false => builder(config)
                .settle_timeout(Duration::from_millis(10))
                .build(),
        };
        let runs = AtomicU32::new(0);
        let transaction = pool.transaction_with(RetryPolicy::new().idempotent(), async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            let inserting = tx.with_statement_timeout(None);
            inserting
                .execute("INSERT INTO note VALUES ('one')", &[])
                .await?;
            if !settles {
                cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
            }
            tx.batch_execute(SLOW).await
        });
        let error = transaction.await.unwrap_err();
        assert!(matches!(error, Error::StatementTimeout { .. }), "{error}");
        assert_eq!(runs.into_inner(), 1, "settles: {settles}");
        assert_eq!(pool.stats().lost_connections, 0);
        assert_eq!(notes(&cluster).await, 0);
    }
}
