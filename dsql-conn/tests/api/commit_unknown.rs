//! COMMIT without a clear reply: reported as unknown, and retried only if that is safe.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, Pool, RetryPolicy, Transaction};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};

use crate::support::{cluster_with_pool, notes};
use crate::transaction_retry::insert;

/// Inserts the row unless it exists.
async fn insert_once(pool: &Pool, policy: RetryPolicy, runs: &AtomicU32) -> Result<(), Error> {
    pool.transaction_with(policy, async |tx: Transaction| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute(
            "INSERT INTO note VALUES ('one') ON CONFLICT DO NOTHING",
            &[],
        )
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn lost_reply_to_commit_is_an_unknown_outcome() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::lose_commit_reply());
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 1);
    pool.get().await.unwrap();
}

#[tokio::test]
async fn unavailable_server_at_commit_is_an_unknown_outcome() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(
        Stage::Commit,
        Effect::Refuse(Refusal::ServerUnavailable),
    ));
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error}");
}

#[tokio::test]
async fn sqlstates_of_commit_tell_whether_it_is_unknown() {
    for (sqlstate, is_unknown) in [
        ("XX000", true),
        ("40003", true),
        ("08007", true),
        ("23503", false),
        ("54000", false),
    ] {
        let (cluster, pool) = cluster_with_pool().await;
        cluster.inject(Fault::at(
            Stage::Commit,
            Effect::Refuse(Refusal::Custom {
                fatal: false,
                sqlstate: sqlstate.into(),
                message: "made up".into(),
                hint: None,
            }),
        ));
        let error = pool
            .transaction(async |tx| {
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, Error::CommitUnknown { .. }),
            is_unknown,
            "{sqlstate}: {error}"
        );
    }
}

#[tokio::test]
async fn commit_past_the_deadline_is_an_unknown_outcome() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(Stage::Commit, Effect::Stall));
    let policy = RetryPolicy::new().timeout(Duration::from_millis(300));
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert!(
        matches!(error, Error::CommitUnknown { source: None, .. }),
        "{error}"
    );
    assert!(error.may_have_applied());
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(pool.stats().unknown_commits, 1);
}

#[tokio::test]
async fn unknown_outcome_is_retried_if_idempotent() {
    for fault in [
        Fault::lose_commit_reply(),
        Fault::misreport_commit(Refusal::ServerUnavailable),
        Fault::at(Stage::Commit, Effect::Cut),
    ] {
        let (cluster, pool) = cluster_with_pool().await;
        cluster.inject(fault.clone());
        let runs = AtomicU32::new(0);
        insert_once(&pool, RetryPolicy::new().idempotent(), &runs)
            .await
            .unwrap();
        assert_eq!(runs.into_inner(), 2, "{fault:?}");
        assert_eq!(notes(&cluster).await, 1, "{fault:?}");
        assert_eq!(pool.stats().unknown_commits, 1);
    }
}

#[tokio::test]
async fn outcome_that_stays_unknown_is_returned() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(Stage::Commit, Effect::Cut).always());
    let runs = AtomicU32::new(0);
    let policy = RetryPolicy::new().idempotent();
    let error = insert_once(&pool, policy, &runs).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::CommitUnknown {
                source: Some(_),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(runs.into_inner(), 4);
}

#[tokio::test]
async fn outcome_stays_unknown_whatever_later_attempts_meet() {
    let policy = RetryPolicy::new()
        .idempotent()
        .max_attempts(3)
        .timeout(Duration::from_millis(500));
    for fail in ["conflict", "refuse", "break", "stall", "close"] {
        let (cluster, pool) = cluster_with_pool().await;
        cluster.inject(Fault::lose_commit_reply());
        let runs = AtomicU32::new(0);
        let error = pool
            .transaction_with(policy, async |tx: Transaction| {
                let insert = "INSERT INTO note VALUES ('one') ON CONFLICT DO NOTHING";
                tx.execute(insert, &[]).await?;
                match (runs.fetch_add(1, Ordering::SeqCst), fail) {
                    (0, "close") => {
                        cluster.inject(Fault::refuse(Refusal::TooManyConnections).always())
                    }
                    (0, _) => {}
                    (_, "conflict") => cluster.inject(Fault::conflict_commits(1)),
                    (_, "refuse") => {
                        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                    }
                    (_, "break") => {
                        let _ = tx.batch_execute("SELECT 1 / 0").await;
                    }
                    _ => pending().await,
                }
                Ok::<_, Error>(())
            })
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::CommitUnknown { .. }),
            "{fail}: {error}"
        );
        assert_eq!(notes(&cluster).await, 1, "{fail}");
    }
}

#[tokio::test]
async fn refused_commit_is_definite_though_the_session_ends() {
    let (cluster, pool) = cluster_with_pool().await;
    let mut refused = 0;
    while refused < 10 {
        let error = pool
            .transaction(async |tx| {
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                cluster.pass_time(Duration::from_secs(3_600));
                Ok(())
            })
            .await
            .unwrap_err();
        match &error {
            // The session ended before the server had read COMMIT.
            Error::CommitUnknown {
                source: Some(cause),
                ..
            } if cause.is_closed() => {}
            _ => {
                assert!(!error.may_have_applied(), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(notes(&cluster).await, 0);
}

/// Runs a transaction that loses its connection once, after the statement `first`.
async fn runs_of_one_lost_after(
    first: &str,
    is_simple: bool,
    pool: &Pool,
    cluster: &LocalCluster,
) -> u32 {
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx: Transaction| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        match is_simple {
            true => tx.batch_execute(first).await?,
            false => drop(tx.query(first, &[]).await?),
        }
        if run == 0 {
            cluster.cut_all();
        }
        tx.batch_execute("INSERT INTO note VALUES ('two')").await?;
        Ok(())
    })
    .await
    .unwrap();
    runs.into_inner()
}

#[tokio::test]
async fn statements_that_cannot_commit_are_retried() {
    let long = format!("INSERT INTO note VALUES ('{}')", "x".repeat(2_000));
    for (first, is_simple) in [
        // Tools add such comments, to find the statement in logs.
        ("/* traceparent=1 */ SELECT 1", false),
        ("-- name: GetOne :one\nSELECT 1", false),
        ("-- seed\nINSERT INTO note VALUES ('one')", true),
        (&*long, true),
    ] {
        let (cluster, pool) = cluster_with_pool().await;
        let runs = runs_of_one_lost_after(first, is_simple, &pool, &cluster).await;
        assert_eq!(runs, 2, "{first:?}");
        assert_eq!(notes(&cluster).await, if is_simple { 2 } else { 1 });
    }
}
