//! What a transaction's body is run again for, how often and for how long.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dsql_conn::{Error, Pool, RetryPolicy, Stats, Transaction};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::{SinkExt, pin_mut};

use crate::support::{bank, notes};

/// Inserts the note, and counts the runs of the body in `runs`.
async fn insert(pool: &Pool, policy: RetryPolicy, runs: &AtomicU32) -> Result<(), Error> {
    pool.transaction_with(policy, async |tx: Transaction| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
}

/// Inserts the note under these faults; it must be there once in the end. Returns how often the
/// body ran.
async fn runs_under(faults: impl IntoIterator<Item = Fault>) -> (u32, LocalCluster, Stats) {
    let (cluster, pool) = bank().await;
    for fault in faults {
        cluster.inject(fault);
    }
    let runs = AtomicU32::new(0);
    insert(&pool, RetryPolicy::new(), &runs).await.unwrap();
    assert_eq!(notes(&cluster).await, 1);
    let stats = pool.stats();
    (runs.into_inner(), cluster, stats)
}

fn refuse(refusal: Refusal) -> Fault {
    Fault::at(Stage::Statement, Effect::Refuse(refusal))
}

#[tokio::test]
async fn a_conflict_at_begin_is_met_by_the_first_statement() {
    let (runs, cluster, stats) = runs_under([refuse(Refusal::Conflict)]).await;
    assert_eq!((runs, cluster.counts().logins), (2, 1));
    assert_eq!(stats.data_conflicts, 1);
}

#[tokio::test]
async fn a_connection_that_is_lost_at_begin_is_replaced() {
    let (runs, cluster, stats) = runs_under([Fault::at(Stage::Statement, Effect::Cut)]).await;
    assert_eq!((runs, cluster.counts().logins), (2, 2));
    assert_eq!(stats.lost_connections, 1);
}

#[tokio::test]
async fn a_connection_that_is_lost_in_the_body_is_replaced() {
    let (cluster, pool) = bank().await;
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
async fn a_body_that_loses_each_connection_is_run_four_times() {
    let (cluster, pool) = bank().await;
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            cluster.cut_all();
            // It keeps the failure to itself.
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
async fn a_server_that_was_unavailable_for_a_statement_is_asked_again() {
    let (runs, cluster, _) = runs_under([refuse(Refusal::ServerUnavailable)]).await;
    assert_eq!((runs, cluster.counts().logins), (2, 1), "at BEGIN");

    let (cluster, pool) = bank().await;
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
async fn statements_that_the_server_forgot_cost_one_more_run() {
    let (cluster, pool) = bank().await;
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
async fn a_changed_schema_is_met_with_more_patience_than_the_writers_are() {
    let schema_changes = refuse(Refusal::SchemaChanged).times(12);
    let (runs, _, stats) = runs_under([schema_changes]).await;
    assert_eq!(runs, 13);
    assert_eq!((stats.schema_conflicts, stats.data_conflicts), (12, 0));
}

#[tokio::test]
async fn the_last_of_many_conflicts_comes_out() {
    let (cluster, pool) = bank().await;
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
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::conflict_commits(usize::MAX));
    let policy = RetryPolicy::new()
        .max_attempts(u32::MAX)
        .timeout(Duration::from_millis(300));
    let runs = AtomicU32::new(0);
    let error = insert(&pool, policy, &runs).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Conflict { .. } | Error::TransactionTimedOut { .. }
        ),
        "{error}"
    );
    assert!(!error.may_have_applied());
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_body_past_the_deadline_is_rolled_back() {
    let (cluster, pool) = bank().await;
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
async fn a_deadline_that_has_passed_sends_no_commit() {
    let (cluster, pool) = bank().await;
    let policy = RetryPolicy::new().timeout(Duration::ZERO);
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert!(!error.may_have_applied(), "{error}");
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_commit_past_the_deadline_is_an_unknown_outcome() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::at(Stage::Commit, Effect::Stall));
    let policy = RetryPolicy::new().timeout(Duration::from_millis(300));
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert!(
        matches!(error, Error::CommitUnknown { source: None }),
        "{error}"
    );
    assert!(error.may_have_applied());
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(pool.stats().unknown_commits, 1);
}

#[tokio::test]
async fn waiting_for_a_connection_ends_at_the_deadline() {
    let (_cluster, pool) = bank().await;
    let lent = pool.get().await.unwrap();
    let policy = RetryPolicy::new().timeout(Duration::from_millis(50));
    let error = insert(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { .. }), "{error}");
    drop(lent);
}

/// Inserts the note, unless it is there.
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
async fn an_unknown_outcome_is_run_again_if_that_was_declared_harmless() {
    for fault in [
        Fault::lose_commit_reply(),
        Fault::misreport_commit(Refusal::ServerUnavailable),
        Fault::at(Stage::Commit, Effect::Cut),
    ] {
        let (cluster, pool) = bank().await;
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
async fn an_outcome_that_stays_unknown_comes_out() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::at(Stage::Commit, Effect::Cut).always());
    let runs = AtomicU32::new(0);
    let policy = RetryPolicy::new().idempotent();
    let error = insert_once(&pool, policy, &runs).await.unwrap_err();
    assert!(
        matches!(error, Error::CommitUnknown { source: Some(_) }),
        "{error}"
    );
    assert_eq!(runs.into_inner(), 4);
}

#[tokio::test]
async fn a_doubt_stays_whatever_becomes_of_later_runs() {
    let policy = RetryPolicy::new()
        .idempotent()
        .max_attempts(3)
        .timeout(Duration::from_millis(500));
    for fail in ["conflict", "refuse", "break", "stall", "close"] {
        let (cluster, pool) = bank().await;
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
async fn a_refusal_of_commit_is_definite_though_the_session_ends_with_it() {
    let (cluster, pool) = bank().await;
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
            // The session ended before it had read COMMIT.
            Error::CommitUnknown {
                source: Some(cause),
            } if cause.is_closed() => {}
            _ => {
                assert!(!error.may_have_applied(), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!(notes(&cluster).await, 0);
}

/// Runs a transaction that loses its connection once, after this statement.
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
async fn what_cannot_have_committed_is_told_from_what_can() {
    let long = format!("INSERT INTO note VALUES ('{}')", "x".repeat(2_000));
    for (first, is_simple) in [
        // As tools write comments there, to be found in logs.
        ("/* traceparent=1 */ SELECT 1", false),
        ("-- name: GetOne :one\nSELECT 1", false),
        ("-- seed\nINSERT INTO note VALUES ('one')", true),
        (&*long, true),
    ] {
        let (cluster, pool) = bank().await;
        let runs = runs_of_one_lost_after(first, is_simple, &pool, &cluster).await;
        assert_eq!(runs, 2, "{first:?}");
        assert_eq!(notes(&cluster).await, if is_simple { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_transaction_whose_begin_is_lost_each_time_is_run_four_times() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::at(Stage::Statement, Effect::Cut).always());
    let runs = AtomicU32::new(0);
    let error = insert(&pool, RetryPolicy::new(), &runs).await.unwrap_err();
    assert!(matches!(error, Error::Query(_)), "{error}");
    assert_eq!(runs.into_inner(), 4);
    cluster.clear_faults();
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_copy_that_is_refused_is_not_run_again() {
    let (_cluster, pool) = bank().await;
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
