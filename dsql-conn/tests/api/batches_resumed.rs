//! Runs of batches that are stopped, and go on from their checkpoint.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dsql_conn::batches::{BatchProblem, Batches, Checkpoint, Checkpoints};
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Pool, RetryPolicy};
use dsql_local::{Effect, Fault, Late, LocalCluster, Stage};

use crate::batches::{entries, insert, written};
use crate::support::{self, pool};

const CHECKPOINTS: Checkpoints = Checkpoints::table("checkpoints");
const ROWS: i64 = 7;
const BATCHES: Batches = Batches::new().max_rows(2);

async fn cluster() -> LocalCluster {
    let cluster = support::cluster().await;
    let admin = support::config(&cluster).connect().await.unwrap();
    let create = CHECKPOINTS.create_table();
    for statement in ["CREATE TABLE entry (n int8)", &create] {
        admin.batch_execute(statement).await.unwrap();
    }
    cluster
}

async fn start(pool: &Pool) -> Checkpoint {
    CHECKPOINTS.start(pool, "entries").await.unwrap()
}

/// The numbers behind a checkpoint.
fn rest(checkpoint: &Checkpoint) -> impl Iterator<Item = i64> + use<> {
    let position = checkpoint.position();
    let position: i64 = position.map_or(0, |key| key.parse().unwrap());
    position + 1..=ROWS
}

/// Runs the job from its checkpoint to its end.
async fn resume(pool: &Pool) {
    let checkpoint = start(pool).await;
    let rows = entries(rest(&checkpoint));
    let run = BATCHES.write(pool, rows, insert).checkpoint(checkpoint);
    run.finish().await.unwrap();
    let checkpoint = start(pool).await;
    assert_eq!((checkpoint.position(), checkpoint.rows()), (Some("7"), 7));
}

/// Each row must be there once, also after everything on its way has arrived.
async fn each_row_is_there_once(cluster: &LocalCluster, pools: &[Pool]) {
    // A late commit waits for statements of others.
    let connection = pools.last().unwrap().get().await.unwrap();
    for _ in 0..=6 {
        connection.query_typed("SELECT 1", &[]).await.unwrap();
    }
    drop(connection);
    for pool in pools {
        pool.close(Duration::from_secs(60)).await;
    }
    support::until(cluster, |counts| counts.open == 0).await;
    assert_eq!(written(cluster).await, (1..=ROWS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_run_stopped_between_batches_goes_on() {
    for batches in 0..=4 {
        let cluster = cluster().await;
        let stopped = pool(&cluster, 1);
        let checkpoint = start(&stopped).await;
        assert_eq!((checkpoint.position(), checkpoint.rows()), (None, 0));
        let rows = entries(1..=ROWS);
        let mut run = BATCHES.write(&stopped, rows, insert).checkpoint(checkpoint);
        for _ in 0..batches {
            run.next().await.unwrap().unwrap();
        }
        drop(run);
        let pool = pool(&cluster, 1);
        resume(&pool).await;
        each_row_is_there_once(&cluster, &[stopped, pool]).await;
    }
}

/// The commit of the last batch before the stop is applied, is not, or is still on its way when the
/// next run begins, and arrives after so many of its statements.
#[tokio::test]
async fn a_run_stopped_at_a_commit_goes_on() {
    let late = |statements| Fault::deliver_commit_late(Late::ByStatements(statements));
    let faults = [
        Fault::lose_commit_reply(),
        Fault::at(Stage::Commit, Effect::Cut),
    ];
    for fault in faults.into_iter().chain((0..=6).map(late)) {
        // The first batch, or the last.
        for batches in [0, 3] {
            let cluster = cluster().await;
            let stopped = pool(&cluster, 1);
            let checkpoint = start(&stopped).await;
            let once = BATCHES.retry_policy(RetryPolicy::new().max_attempts(1));
            let run = once.write(&stopped, entries(1..=ROWS), insert);
            let mut run = run.checkpoint(checkpoint);
            for _ in 0..batches {
                run.next().await.unwrap().unwrap();
            }
            cluster.inject(fault.clone());
            let error = run.next().await.unwrap_err();
            assert!(error.may_have_applied(), "{error}");

            let pool = pool(&cluster, 1);
            resume(&pool).await;
            each_row_is_there_once(&cluster, &[stopped, pool]).await;
        }
    }
}

#[tokio::test]
async fn a_lost_commit_is_settled_within_the_run() {
    let late = |statements| Fault::deliver_commit_late(Late::ByStatements(statements));
    let applied = (Fault::lose_commit_reply(), Some(1));
    let cut = (Fault::at(Stage::Commit, Effect::Cut), Some(2));
    let late = (0..=4).map(|statements| (late(statements), None));
    for (fault, expected) in [applied, cut].into_iter().chain(late) {
        let cluster = cluster().await;
        let pool = pool(&cluster, 1);
        let checkpoint = start(&pool).await;
        let runs = AtomicU64::new(0);
        let run = BATCHES.write(&pool, entries(1..=ROWS), async |tx, batch| {
            if batch.number() == 2 {
                runs.fetch_add(1, Ordering::SeqCst);
            }
            insert(tx, batch).await
        });
        let mut run = run.checkpoint(checkpoint);
        run.next().await.unwrap();
        cluster.inject(fault);
        assert_eq!(run.next().await.unwrap().unwrap().rows, 4);
        assert_eq!(run.finish().await.unwrap().rows, 7);
        if let Some(expected) = expected {
            assert_eq!(runs.into_inner(), expected);
        }
        each_row_is_there_once(&cluster, &[pool]).await;
    }
}

#[tokio::test]
async fn a_run_ends_when_a_later_one_has_begun() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let checkpoint = start(&pool).await;
    let rows = entries(1..=ROWS);
    let mut run = BATCHES.write(&pool, rows, insert).checkpoint(checkpoint);
    run.next().await.unwrap();
    let later = start(&pool).await;
    assert_eq!((later.position(), later.rows()), (Some("2"), 2));
    let error = run.next().await.unwrap_err();
    let is_taken = matches!(&error.problem, BatchProblem::TakenOver { job } if job == "entries");
    assert!(is_taken && !error.may_have_applied(), "{error}");
    let rows = entries(rest(&later));
    let run = BATCHES.write(&pool, rows, insert).checkpoint(later);
    assert_eq!(run.finish().await.unwrap().rows, 5);
    each_row_is_there_once(&cluster, &[pool]).await;
}

#[tokio::test]
async fn a_run_ends_when_its_checkpoint_is_deleted() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let checkpoint = start(&pool).await;
    cluster.query("DELETE FROM checkpoints").await.unwrap();
    let rows = entries(1..=ROWS);
    let mut run = BATCHES.write(&pool, rows, insert).checkpoint(checkpoint);
    let error = run.next().await.unwrap_err();
    assert!(matches!(error.problem, BatchProblem::TakenOver { .. }));
    assert!(written(&cluster).await.is_empty());
}

#[tokio::test]
async fn jobs_have_positions_of_their_own() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    resume(&pool).await;
    let other = CHECKPOINTS.start(&pool, "others").await.unwrap();
    assert_eq!((other.job(), other.position()), ("others", None));
}

#[tokio::test]
async fn a_missing_table_is_reported_at_the_start() {
    let cluster = support::cluster().await;
    let pool = pool(&cluster, 1);
    let error = CHECKPOINTS.start(&pool, "entries").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
}
