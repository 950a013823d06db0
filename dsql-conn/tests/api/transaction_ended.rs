//! Bodies that end their transaction themselves: never retried, never reported as rolled back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, RetryPolicy, Transaction};
use dsql_local::{Direction, Effect, Fault, Refusal, Stage};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::support::{builder, cluster_with_pool, config, notes};

#[tokio::test]
async fn body_that_ends_its_transaction_gets_an_error() {
    for statement in ["COMMIT", "ROLLBACK"] {
        let (_cluster, pool) = cluster_with_pool().await;
        let error = pool
            .transaction(async |tx| {
                tx.batch_execute(statement).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TransactionEnded), "{error}");
    }
}

#[tokio::test]
async fn body_that_committed_is_not_retried_after_a_conflict() {
    for next in ["SELECT 1", "BEGIN"] {
        let (cluster, pool) = cluster_with_pool().await;
        let runs = AtomicU32::new(0);
        let error = pool
            .transaction(async |tx| {
                let run = runs.fetch_add(1, Ordering::SeqCst).to_string();
                tx.execute("INSERT INTO note VALUES ($1)", &[&run]).await?;
                tx.batch_execute("COMMIT").await?;
                let conflict = Effect::Refuse(Refusal::Conflict);
                cluster.inject(Fault::at(Stage::Statement, conflict));
                tx.batch_execute(next).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TransactionEnded), "{error}");
        assert_eq!(notes(&cluster).await, 1);
    }
}

#[tokio::test]
async fn body_that_may_have_committed_is_not_retried_if_lost() {
    for commit in ["COMMIT", "SELECT 1; end", "/* now */ COMMIT"] {
        let (cluster, pool) = cluster_with_pool().await;
        cluster.inject(Fault::lose_commit_reply());
        let runs = AtomicU32::new(0);
        let error = pool
            .transaction(async |tx| {
                runs.fetch_add(1, Ordering::SeqCst);
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                tx.batch_execute(commit).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::TransactionEnded),
            "{commit}: {error}"
        );
        assert!(error.may_have_applied());
        assert_eq!(runs.into_inner(), 1, "{commit}");
        assert_eq!(notes(&cluster).await, 1, "{commit}");
    }
}

#[tokio::test]
async fn commit_that_begins_another_transaction_is_noticed() {
    for commit in ["COMMIT; BEGIN", "COMMIT AND CHAIN", "ROLLBACK; BEGIN"] {
        let (cluster, pool) = cluster_with_pool().await;
        let runs = AtomicU32::new(0);
        let result = pool
            .transaction(async |tx: Transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                tx.batch_execute(commit).await?;
                cluster.inject(Fault::conflict_commits(1));
                tx.execute("INSERT INTO note VALUES ('two')", &[]).await?;
                Ok(())
            })
            .await;
        let is_reported = matches!(result, Err(Error::TransactionEnded));
        assert!(is_reported, "{commit}: {result:?}");
        assert_eq!(runs.into_inner(), 1, "{commit}");
    }
}

#[tokio::test]
async fn commit_after_a_rollback_is_not_retried_if_its_reply_is_lost() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let result: Result<(), Error> = pool
        .transaction(async |tx: Transaction| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("SELECT 1", &[]).await?;
            let write = format!("ROLLBACK; INSERT INTO note VALUES ('of run {run}')");
            cluster.inject(Fault::delay(Direction::ToClient, Duration::from_secs(3600)));
            let cut = async {
                while notes(&cluster).await == 0 {
                    yield_now().await;
                }
                cluster.clear_faults();
                cluster.cut_all();
            };
            let (result, ()) = tokio::join!(tx.batch_execute(&write), cut);
            result
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
    assert_eq!(runs.into_inner(), 1);
}

#[tokio::test]
async fn commit_that_the_body_cancelled_is_no_rollback() {
    let (cluster, _) = cluster_with_pool().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::from_millis(100))
        .build();
    cluster.inject(Fault::at(Stage::Committed, Effect::Stall));
    let result: Result<(), Error> = pool
        .transaction(async |tx: Transaction| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            let _ = timeout(Duration::from_secs(1), tx.batch_execute("COMMIT")).await;
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
}

#[tokio::test]
async fn commit_of_the_body_after_the_deadline_is_no_rollback() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(Stage::Committed, Effect::Stall));
    let policy = RetryPolicy::new().timeout(Duration::from_secs(2));
    let result: Result<(), Error> = pool
        .transaction_with(policy, async |tx: Transaction| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            tx.batch_execute("COMMIT").await
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
}

#[tokio::test]
async fn escaped_handle_does_not_hide_the_bodys_commit() {
    let (cluster, pool) = cluster_with_pool().await;
    let kept = Mutex::new(None);
    let result = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            tx.batch_execute("COMMIT").await?;
            *kept.lock().unwrap() = Some(tx);
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
    assert_eq!(notes(&cluster).await, 1);
}
