//! Many rows in many transactions.

use std::error::Error as StdError;
use std::future::pending;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::{fmt, iter};

use dsql_conn::batches::{Batch, BatchError, BatchProblem, BatchRow, Batches, Run};
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Error, Outcomes, Pool, RetryPolicy, Transaction};
use dsql_local::{Effect, Fault, LocalCluster, Stage};
use futures_util::{poll, stream};

use crate::support::{self, pool};

/// A row of `entry`, and its size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry(pub(crate) i64, pub(crate) usize);

pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

impl BatchRow for Entry {
    fn key(&self) -> String {
        self.0.to_string()
    }

    fn bytes(&self) -> usize {
        self.1
    }
}

/// Entries of one byte with these numbers.
pub(crate) fn entries(
    numbers: impl IntoIterator<Item = i64>,
) -> impl Iterator<Item = Result<Entry, BoxError>> {
    numbers.into_iter().map(|number| Ok(Entry(number, 1)))
}

pub(crate) async fn insert(tx: Transaction, batch: Batch<Entry>) -> Result<(), BoxError> {
    let numbers: Vec<i64> = batch.iter().map(|entry| entry.0).collect();
    let insert = "INSERT INTO entry SELECT * FROM unnest($1::int8[])";
    tx.execute(insert, &[&numbers]).await?;
    Ok(())
}

/// A cluster with a table of entries that may double, and a pool of one connection.
async fn cluster() -> (LocalCluster, Pool) {
    let cluster = support::cluster().await;
    let pool = pool(&cluster, 1);
    let create = "CREATE TABLE entry (n int8)";
    pool.get().await.unwrap().execute_ddl(create).await.unwrap();
    (cluster, pool)
}

/// The numbers in the table, in order.
pub(crate) async fn written(cluster: &LocalCluster) -> Vec<i64> {
    let rows = cluster.query("SELECT n FROM entry ORDER BY n").await;
    let rows = rows.unwrap().into_iter();
    rows.map(|row| row[0].as_ref().unwrap().parse().unwrap())
        .collect()
}

/// Runs to the end, and returns how many rows each batch had.
async fn sizes<F, Fut>(mut run: Run<'_, Entry, F>) -> Vec<u64>
where
    F: Fn(Transaction, Batch<Entry>) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    let (mut sizes, mut rows) = (Vec::new(), 0);
    while let Some(progress) = run.next().await.unwrap() {
        sizes.push(progress.rows - rows);
        rows = progress.rows;
    }
    sizes
}

#[tokio::test]
async fn progress_is_reported_after_each_commit_in_order() {
    let (cluster, pool) = cluster().await;
    let mut run = Batches::new()
        .max_rows(10)
        .write(&pool, entries(1..=25), insert);
    for (batches, rows) in [(1, 10), (2, 20), (3, 25)] {
        let progress = run.next().await.unwrap().unwrap();
        assert_eq!((progress.batches, progress.rows), (batches, rows));
        assert_eq!(
            (progress.bytes, progress.last_key),
            (rows, Some(rows.to_string()))
        );
        let numbers: Vec<_> = (1..=i64::try_from(rows).unwrap()).collect();
        assert_eq!(written(&cluster).await, numbers);
    }
    for _ in 0..2 {
        assert_eq!(run.next().await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_batch_has_at_most_its_maximum_of_rows() {
    let (_cluster, pool) = cluster().await;
    let batches = Batches::new().max_rows(3);
    for (rows, expected) in [(3, vec![3]), (4, vec![3, 1]), (6, vec![3, 3])] {
        let run = batches.write(&pool, entries(1..=rows), insert);
        assert_eq!(sizes(run).await, expected);
    }
    let run = Batches::new().max_rows(0);
    let run = run.write(&pool, entries(1..=2), insert);
    assert_eq!(sizes(run).await, [1, 1]);
}

#[tokio::test]
async fn a_batch_has_at_most_its_maximum_of_bytes() {
    let (_cluster, pool) = cluster().await;
    let batches = Batches::new().max_bytes(30);
    for (bytes, expected) in [
        (vec![10, 10, 10], vec![3]),
        (vec![10, 10, 11], vec![2, 1]),
        (vec![30, 1, 29, 30], vec![1, 2, 1]),
        (vec![1, 30, 0], vec![1, 2]),
    ] {
        let rows = bytes.into_iter().map(|bytes| Ok(Entry(1, bytes)));
        assert_eq!(sizes(batches.write(&pool, rows, insert)).await, expected);
    }
}

#[tokio::test]
async fn rows_before_one_that_is_too_large_are_committed() {
    let (cluster, pool) = cluster().await;
    let rows = [(1, 9), (2, 31), (3, 1)].map(|(number, bytes)| Ok(Entry(number, bytes)));
    let run = Batches::new().max_bytes(30).write(&pool, rows, insert);
    let error = run.finish().await.unwrap_err();
    assert!(!error.may_have_applied());
    assert_eq!(
        error.to_string(),
        "the row with key \"2\" has 31 bytes, and a batch at most 30; committed before: 1 rows \
         and 9 bytes in 1 batch, up to key \"1\"; raise Batches::max_bytes, or split the row"
    );
    assert_eq!(written(&cluster).await, [1]);
}

#[tokio::test]
async fn rows_before_an_error_of_their_source_are_committed() {
    let (cluster, pool) = cluster().await;
    let failure = iter::once_with(|| Err("line 4 is no number".into()));
    let rows = entries(1..=3).chain(failure).chain(entries([5]));
    let mut run = Batches::new().max_rows(2).write(&pool, rows, insert);
    assert_eq!(run.next().await.unwrap().unwrap().rows, 2);
    assert_eq!(run.next().await.unwrap().unwrap().rows, 3);
    let error = run.next().await.unwrap_err();
    assert!(matches!(&error.problem, BatchProblem::Rows(_)), "{error}");
    assert_eq!(error.progress.last_key.as_deref(), Some("3"));
    assert!(error.to_string().contains("line 4 is no number"), "{error}");
    assert_eq!(run.next().await.unwrap(), None);
    assert_eq!(written(&cluster).await, [1, 2, 3]);
}

#[tokio::test]
async fn no_rows_need_no_connection() {
    let (cluster, pool) = cluster().await;
    let before = cluster.counts().statements;
    let run = Batches::new().write(&pool, entries([]), insert);
    let progress = run.finish().await.unwrap();
    assert_eq!((progress.rows, progress.last_key), (0, None));
    assert_eq!(cluster.counts().statements, before);
}

#[tokio::test]
async fn rows_are_taken_as_they_are_needed() {
    let (_cluster, pool) = cluster().await;
    let taken = AtomicUsize::new(0);
    let rows = entries(1..).inspect(|_| {
        taken.fetch_add(1, Ordering::SeqCst);
    });
    let mut run = Batches::new().max_rows(10).write(&pool, rows, insert);
    for expected in [10, 20] {
        run.next().await.unwrap();
        assert_eq!(taken.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn each_batch_is_retried_by_itself() {
    let (cluster, pool) = cluster().await;
    let runs = Mutex::new(Vec::new());
    let mut run = Batches::new()
        .max_rows(2)
        .write(&pool, entries(1..=6), async |tx, batch| {
            runs.lock().unwrap().push(batch.number());
            insert(tx, batch).await
        });
    run.next().await.unwrap();
    cluster.inject(Fault::conflict_commits(2));
    // Before COMMIT is sent, on another connection.
    run.next().await.unwrap();
    cluster.inject(Fault::at(Stage::Statement, Effect::Cut));
    run.next().await.unwrap();
    assert_eq!(*runs.lock().unwrap(), [1, 2, 2, 2, 3, 3]);
    assert_eq!(written(&cluster).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_batch_that_the_service_refuses_is_named() {
    let (cluster, pool) = cluster().await;
    let mut run =
        Batches::new()
            .max_rows(1_501)
            .write(&pool, entries(1..=5_000), async |tx, batch| {
                if batch.number() == 3 {
                    insert(tx.clone(), batch.clone()).await?;
                }
                insert(tx, batch).await
            });
    run.next().await.unwrap();
    run.next().await.unwrap();
    let error = run.next().await.unwrap_err();
    assert_eq!(run.next().await.unwrap(), None);
    let code = error.error().and_then(Error::code);
    assert_eq!(code, Some(&SqlState::PROGRAM_LIMIT_EXCEEDED));
    let BatchProblem::Failed {
        first_key,
        last_key,
        rows,
        ..
    } = &error.problem
    else {
        panic!("{error}");
    };
    assert_eq!((&**first_key, &**last_key, *rows), ("3003", "4503", 1_501));
    assert_eq!(error.progress.rows, 3_002);
    for part in [
        "batch 3 failed",
        "transaction row limit exceeded",
        "max_rows",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(written(&cluster).await.len(), 3_002);
}

#[tokio::test]
async fn an_error_of_the_body_rolls_its_batch_back() {
    #[derive(Debug)]
    struct Unwanted;

    impl fmt::Display for Unwanted {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("unwanted")
        }
    }

    impl StdError for Unwanted {}

    let (cluster, pool) = cluster().await;
    let run = Batches::new()
        .max_rows(2)
        .write(&pool, entries(1..=4), async |tx, batch| {
            insert(tx, batch.clone()).await?;
            match batch.number() {
                1 => Ok(()),
                _ => Err(Unwanted.into()),
            }
        });
    let error = run.finish().await.unwrap_err();
    assert!(error.error().is_none() && !error.may_have_applied());
    let BatchProblem::Failed { error, .. } = error.problem else {
        panic!("{error}");
    };
    assert!(error.is::<Unwanted>(), "{error}");
    assert_eq!(written(&cluster).await, [1, 2]);
}

#[tokio::test]
async fn without_a_table_a_lost_commit_ends_the_run() {
    let (cluster, pool) = cluster().await;
    let mut run = Batches::new()
        .max_rows(2)
        .write(&pool, entries(1..=4), insert);
    cluster.inject(Fault::lose_commit_reply());
    let error = run.next().await.unwrap_err();
    assert!(error.may_have_applied(), "{error}");
    assert!(matches!(error.error(), Some(Error::CommitUnknown { .. })));
    assert_eq!(run.next().await.unwrap(), None);
}

#[tokio::test]
async fn an_outcome_table_settles_lost_commits_of_batches() {
    let (cluster, pool) = cluster().await;
    let connection = pool.get().await.unwrap();
    let create = Outcomes::CREATE_TABLE;
    connection.batch_execute(create).await.unwrap();
    drop(connection);
    let policy = RetryPolicy::new().outcomes(Outcomes::default());
    let batches = Batches::new().max_rows(2).retry_policy(policy);
    let mut run = batches.write(&pool, entries(1..=4), insert);
    cluster.inject(Fault::lose_commit_reply());
    run.next().await.unwrap();
    cluster.inject(Fault::at(Stage::Commit, Effect::Cut));
    assert_eq!(run.finish().await.unwrap().rows, 4);
    assert_eq!(written(&cluster).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_batch_whose_future_was_dropped_is_unknown() {
    let (cluster, pool) = cluster().await;
    let body = async |_, _| pending().await;
    let mut run = Batches::new().write(&pool, entries([1]), body);
    assert_eq!(poll!(Box::pin(run.next())).map(drop), Poll::Pending);
    for _ in 0..2 {
        let error: BatchError = run.next().await.unwrap_err();
        assert!(matches!(error.problem, BatchProblem::Interrupted));
        assert!(error.may_have_applied());
    }
    assert!(written(&cluster).await.is_empty());
}

#[tokio::test]
async fn a_future_dropped_while_it_waits_for_rows_loses_none() {
    let (cluster, pool) = cluster().await;
    let mut polls = 0;
    let rows = stream::poll_fn(move |_| {
        polls += 1;
        match polls {
            1 | 3 => Poll::Ready(Some(Ok(Entry(polls, 1)))),
            2 => Poll::Pending,
            _ => Poll::Ready(None),
        }
    });
    let mut run = Batches::new().write_stream(&pool, rows, insert);
    assert_eq!(poll!(Box::pin(run.next())).map(drop), Poll::Pending);
    assert_eq!(run.next().await.unwrap().unwrap().rows, 2);
    assert_eq!(written(&cluster).await, [1, 3]);
}

#[tokio::test]
async fn a_run_may_move_to_another_thread() {
    let (cluster, pool) = cluster().await;
    let run = Batches::new().write(&pool, entries([1]), async |tx, batch| {
        insert(tx, batch).await
    });
    let progress = tokio::spawn(run.finish()).await.unwrap();
    assert_eq!(progress.unwrap().rows, 1);
    assert_eq!(written(&cluster).await, [1]);
}
