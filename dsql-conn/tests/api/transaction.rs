//! Transactions: what is committed, what is rolled back, and the connection afterwards.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Error, RetryPolicy, Rollback};
use dsql_local::{Fault, Refusal};
use futures_util::{FutureExt, SinkExt, pin_mut};

use crate::support::{builder, cluster_with_pool, config, notes};

#[tokio::test]
async fn body_borrows_local_variables_in_a_spawned_task() {
    let (cluster, pool) = cluster_with_pool().await;
    let text = String::from("one");
    let inserted = tokio::spawn(async move {
        pool.transaction(async |tx| {
            let inserted = tx.execute("INSERT INTO note VALUES ($1)", &[&text]).await?;
            Ok(inserted)
        })
        .await
    });
    assert_eq!(inserted.await.unwrap().unwrap(), 1);
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn body_without_statements_commits_with_zero_settle_timeout() {
    let (cluster, _) = cluster_with_pool().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::ZERO)
        .build();
    for _ in 0..20 {
        pool.transaction(async |_| Ok(())).await.unwrap();
    }
}

#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("sold out")]
    SoldOut,
    #[error(transparent)]
    Database(#[from] Error),
}

#[tokio::test]
async fn error_of_the_body_rolls_back_and_is_returned() {
    let (cluster, pool) = cluster_with_pool().await;
    let result: Result<(), OrderError> = pool
        .transaction_with(RetryPolicy::default(), async |tx| {
            let inserted = tx.execute("INSERT INTO note VALUES ('one')", &[]).await;
            inserted?;
            Err(OrderError::SoldOut)
        })
        .await;
    assert!(matches!(result, Err(OrderError::SoldOut)));
    assert_eq!(notes(&cluster).await, 0);
    assert_eq!(cluster.counts().logins, 1);
}

#[derive(Debug, PartialEq)]
struct SoldOut(u32);

impl fmt::Display for SoldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sold out: {}", self.0)
    }
}

#[tokio::test]
async fn body_rolls_back_with_an_error_type_of_its_own() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::refuse(Refusal::Conflict).times(2));
    let runs = AtomicU32::new(0);
    let transaction = pool.transaction_with(RetryPolicy::new(), async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Err::<(), _>(Rollback::with(SoldOut(7)))
    });
    let rolled_back = transaction.await.unwrap_err();
    assert_eq!(rolled_back.to_string(), "sold out: 7");
    assert!(matches!(rolled_back, Rollback::With(SoldOut(7))));
    assert_eq!(runs.into_inner(), 3, "only the conflicts are retried");
    assert_eq!(notes(&cluster).await, 0);
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn question_mark_takes_errors_of_the_driver_and_of_the_crate() {
    let (cluster, pool) = cluster_with_pool().await;
    let drivers = pool.transaction_with(RetryPolicy::new(), async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        let row = tx.query_one("SELECT 1", &[]).await?;
        let number: i64 = row.try_get(0)?;
        match number {
            0 => Err(Rollback::with(SoldOut(0))),
            _ => Ok(()),
        }
    });
    let Err(Rollback::Error(error)) = drivers.await else {
        panic!("an int cannot be read as i64");
    };
    assert!(error.to_string().contains("i64"), "{error}");

    let ours = pool.transaction_with(RetryPolicy::new(), async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        tx.execute("INSERT INTO nothing VALUES (1)", &[]).await?;
        Err::<(), _>(Rollback::with(SoldOut(0)))
    });
    let Err(Rollback::Error(error)) = ours.await else {
        panic!("the table does not exist");
    };
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn failed_statement_is_not_retried() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one'), ('one')", &[])
                .await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn refused_copy_is_not_retried() {
    let (_cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            let sink = tx.copy_in("COPY note FROM STDIN").await?;
            pin_mut!(sink);
            sink.send(Bytes::from_static(b"one\ttoo many\n")).await?;
            Ok(sink.finish().await?)
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Query(_)), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(pool.stats().lost_connections, 0);
}

#[tokio::test]
async fn dropped_transaction_leaves_a_clean_connection() {
    let (cluster, pool) = cluster_with_pool().await;
    for steps in 0..12 {
        let mut transaction = Box::pin(pool.transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('dropped')", &[])
                .await?;
            std::future::pending::<()>().await;
            Ok(())
        }));
        for _ in 0..steps {
            assert!((&mut transaction).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(transaction);
        let connection = pool.get().await.unwrap();
        let row = connection
            .query_one("SELECT count(*) FROM note", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "after {steps} steps");
    }
    assert_eq!(cluster.counts().logins, 1, "on the same connection");
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn panicking_body_leaves_a_clean_connection() {
    let (cluster, pool) = cluster_with_pool().await;
    let panicked = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.transaction(async |tx| {
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                if tx.is_closed() {
                    return Ok(());
                }
                panic!("on purpose")
            })
            .await
        }
    });
    assert!(panicked.await.unwrap_err().is_panic());
    let connection = pool.get().await.unwrap();
    connection
        .execute("INSERT INTO note VALUES ('two')", &[])
        .await
        .unwrap();
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn futures_are_send() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }

    let (_cluster, pool) = cluster_with_pool().await;
    let pool = Arc::new(pool);
    drop(is_send(pool.get()));
    drop(is_send(pool.close(Duration::ZERO)));
    drop(is_send(pool.transaction(async |_| Ok(()))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn awaited_statements_commit_with_zero_settle_timeout() {
    let (cluster, _) = cluster_with_pool().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::ZERO)
        .build();
    for number in 0..300 {
        let insert = format!("INSERT INTO note VALUES ('{number}')");
        let inserted = pool.transaction(async |tx| Ok(tx.batch_execute(&insert).await?));
        inserted.await.unwrap();
    }
    assert_eq!(notes(&cluster).await, 300);
}
