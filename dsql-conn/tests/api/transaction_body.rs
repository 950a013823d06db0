//! Transaction bodies that ignore errors, do not await statements, or keep a handle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Error, RollbackCause};
use dsql_local::{Effect, Fault, Stage};
use futures_util::FutureExt;

use crate::support::{builder, cluster, cluster_with_pool, config, notes, until};

#[tokio::test]
async fn ignored_error_of_a_statement_fails_the_transaction() {
    let (cluster, pool) = cluster_with_pool().await;
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            let _ = tx.execute("SELECT 1 / 0", &[]).await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::RolledBack(RollbackCause::StatementFailed(_))),
        "{error}"
    );
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn ignored_error_of_a_copy_is_named() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            let _ = tx.copy_in::<_, Bytes>("COPY nothing FROM STDIN").await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::RolledBack(RollbackCause::StatementFailed(_))),
        "{error}"
    );
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 0);
    pool.get()
        .await
        .unwrap()
        .query("SELECT 1", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn statement_that_is_not_awaited_is_committed() {
    let (cluster, pool) = cluster_with_pool().await;
    pool.transaction(async |tx| {
        let queued = tx
            .batch_execute("INSERT INTO note VALUES ('queued')")
            .now_or_never();
        assert!(queued.is_none());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn rollback_that_is_not_awaited_fails_the_transaction() {
    let (cluster, pool) = cluster_with_pool().await;
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            assert!(tx.batch_execute("ROLLBACK").now_or_never().is_none());
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TransactionEnded), "{error}");
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn body_that_cancels_a_statement_gets_its_own_error() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::from_millis(50))
        .build();
    for outcome in [Err(Error::PoolClosed), Ok(())] {
        let outcome = Mutex::new(Some(outcome));
        let result = pool
            .transaction(async |tx| {
                cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
                let statement = tx.batch_execute("SELECT 1");
                let _ = tokio::time::timeout(Duration::from_millis(50), statement).await;
                outcome.lock().unwrap().take().unwrap()
            })
            .await;
        assert!(
            matches!(result, Err(Error::PoolClosed | Error::RolledBack(_))),
            "{result:?}"
        );
    }
    pool.get()
        .await
        .unwrap()
        .query("SELECT 1", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn handle_that_outlives_the_body_prevents_the_commit() {
    let (cluster, pool) = cluster_with_pool().await;
    let escaped = Mutex::new(None);
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            *escaped.lock().unwrap() = Some(tx.clone());
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TransactionEscaped), "{error}");
    let handle = escaped.into_inner().unwrap().unwrap();
    assert!(handle.batch_execute("COMMIT").await.is_err());
    until(&cluster, |counts| counts.open == 0).await;
    assert_eq!(notes(&cluster).await, 0);
    drop(handle);
    pool.get().await.unwrap();
}

#[tokio::test]
async fn handle_that_outlives_a_dropped_transaction_fails() {
    let (cluster, pool) = cluster_with_pool().await;
    let escaped = Mutex::new(None);
    let mut transaction = Box::pin(pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        *escaped.lock().unwrap() = Some(tx.clone());
        std::future::pending::<()>().await;
        Ok(())
    }));
    while escaped.lock().unwrap().is_none() {
        assert!((&mut transaction).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(transaction);
    let handle = escaped.into_inner().unwrap().unwrap();
    let applied = handle.execute("INSERT INTO note VALUES ('two')", &[]).await;
    assert!(applied.is_err());
    drop(handle);
    assert_eq!(notes(&cluster).await, 0);
}
