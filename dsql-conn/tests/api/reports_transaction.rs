//! Transactions and retries with errors of the caller's own, and errors as people read them.

use std::error::Error as StdError;
use std::fmt;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Config, Error, Pool, Reason, RetryPolicy, Rollback, RollbackCause, retry_with};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};

use crate::support::{bank, builder, cluster, config, notes, pool};

#[tokio::test]
async fn a_copy_refused_and_ignored_by_the_body_is_named() {
    let (cluster, pool) = bank().await;
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

#[derive(Debug, PartialEq)]
struct SoldOut(u32);

impl fmt::Display for SoldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sold out: {}", self.0)
    }
}

#[tokio::test]
async fn a_body_rolls_back_with_a_value_of_its_own() {
    let (cluster, pool) = bank().await;
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
    assert_eq!(
        runs.into_inner(),
        3,
        "conflicts are retried, its own reason is not"
    );
    assert_eq!(notes(&cluster).await, 0);
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn a_question_mark_takes_the_drivers_errors_and_ours() {
    let (cluster, pool) = bank().await;
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
        panic!("an int is no i64");
    };
    assert!(error.to_string().contains("i64"), "{error}");

    let ours = pool.transaction_with(RetryPolicy::new(), async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        tx.execute("INSERT INTO nothing VALUES (1)", &[]).await?;
        Err::<(), _>(Rollback::with(SoldOut(0)))
    });
    let Err(Rollback::Error(error)) = ours.await else {
        panic!("there is no such table");
    };
    assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));
    assert_eq!(notes(&cluster).await, 0);
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Fails with two conflicts, then with a reason of its own.
async fn insert(pool: &Pool, runs: &AtomicU32) -> Result<(), BoxError> {
    runs.fetch_add(1, Ordering::SeqCst);
    let connection = pool.get().await?;
    connection
        .execute("INSERT INTO note VALUES ('one')", &[])
        .await?;
    Err(BoxError::from("closing time"))
}

#[tokio::test]
async fn retries_take_boxed_errors_and_anyhow() {
    let (cluster, pool) = bank().await;
    let runs = AtomicU32::new(0);
    cluster.inject(Fault::refuse(Refusal::Conflict).times(2));
    let boxed = retry_with(
        RetryPolicy::new(),
        |error: &BoxError| &**error,
        || insert(&pool, &runs),
    );
    assert_eq!(boxed.await.unwrap_err().to_string(), "closing time");
    assert_eq!(runs.swap(0, Ordering::SeqCst), 3);
    assert_eq!(notes(&cluster).await, 1);

    cluster.query("DELETE FROM note").await.unwrap();
    cluster.inject(Fault::refuse(Refusal::Conflict).times(2));
    let in_context = retry_with(
        RetryPolicy::new(),
        |error: &anyhow::Error| error.as_ref(),
        async || {
            runs.fetch_add(1, Ordering::SeqCst);
            let connection = pool.get().await?;
            let inserting = connection.execute("INSERT INTO note VALUES ('one')", &[]);
            inserting.await.context("inserting")?;
            Err::<(), _>(anyhow::anyhow!("closing time"))
        },
    );
    assert_eq!(
        format!("{:#}", in_context.await.unwrap_err()),
        "closing time"
    );
    assert_eq!(runs.into_inner(), 3);
    assert_eq!(notes(&cluster).await, 1);
}

/// One error of each kind that a caller can meet, made by what makes it.
async fn errors(cluster: &LocalCluster, bank: &Pool) -> Vec<Error> {
    let connection = bank.get().await.unwrap();
    let refused = connection.query("SELECT nothing", &[]).await.unwrap_err();
    let unfit = connection
        .query("SELECT $1::int", &[&1_i64])
        .await
        .unwrap_err();
    let short = connection.with_statement_timeout(Duration::from_millis(10));
    let late = short
        .batch_execute("SELECT pg_sleep(0.1)")
        .await
        .unwrap_err();
    let none_free = bank.get_until(std::time::UNIX_EPOCH).await.unwrap_err();
    drop(connection);

    cluster.inject(Fault::lose_commit_reply());
    let unknown = bank.transaction(async |_| Ok(())).await.unwrap_err();
    cluster.inject(Fault::conflict_commits(2));
    let policy = RetryPolicy::new().max_attempts(2);
    let conflict = bank.transaction_with(policy, async |_| Ok::<_, Error>(()));
    let conflict = conflict.await.unwrap_err();
    let swallowed = bank.transaction(async |tx| {
        let _ = tx.query("SELECT nothing", &[]).await;
        Ok(())
    });
    let rolled_back = swallowed.await.unwrap_err();

    cluster.inject(Fault::refuse(Refusal::NoSni));
    let sni = config(cluster).connect().await.unwrap_err();
    let stalled = builder(config(cluster))
        .checkout_timeout(Duration::from_millis(10))
        .build();
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    let not_open_yet = stalled.get().await.unwrap_err();
    let closed = config(cluster).port(closed_port());
    let closed = closed.connect_timeout(Duration::from_millis(100));
    let nobody_listens = closed.connect().await.unwrap_err();
    let setting = "postgres://somewhere/postgres"
        .parse::<Config>()
        .unwrap_err();
    vec![
        refused,
        unfit,
        late,
        none_free,
        unknown,
        conflict,
        rolled_back,
        sni,
        not_open_yet,
        nobody_listens,
        setting.into(),
    ]
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn errors_read_alike_in_display_debug_and_anyhow() {
    let (cluster, pool) = bank().await;
    let mut kinds = 0;
    for error in errors(&cluster, &pool).await {
        let (display, debug) = (error.to_string(), format!("{error:?}"));
        let below = debug
            .strip_prefix(&display)
            .unwrap_or_else(|| panic!("{debug}"));
        assert!(
            below.is_empty() || below.starts_with("\n\nCaused by:"),
            "{debug}"
        );
        let error = anyhow::Error::from(error);
        let mut said = String::new();
        for cause in error.chain() {
            let cause = cause.to_string();
            assert!(!said.contains(&cause), "said twice: {cause:?} in {error:#}");
            said.push_str(&cause);
        }
        // Each clause of its own words once, too.
        let line = format!("{error:#}");
        let mut clauses: Vec<_> = line.split(": ").filter(|it| it.len() > 12).collect();
        let all = clauses.len();
        clauses.sort_unstable();
        clauses.dedup();
        assert_eq!(clauses.len(), all, "{line}");
        kinds += 1;
    }
    assert_eq!(kinds, 11);
}

#[tokio::test]
async fn a_known_cause_is_told_after_one_connect_timeout() {
    let cluster = cluster().await;
    let closed = config(&cluster)
        .port(closed_port())
        .connect_timeout(Duration::from_millis(200));
    // A checkout that took its own timeout would end as a checkout timeout.
    for builder in [Pool::builder(closed.clone()), Pool::lambda(closed)] {
        let pool = builder.checkout_timeout(Duration::from_secs(20)).build();
        for _ in 0..2 {
            let error = pool.get().await.unwrap_err();
            assert!(matches!(error, Error::Connect(_)), "{error}");
            assert_eq!(error.reason(), Some(Reason::Unreachable), "{error}");
        }
    }
}

#[tokio::test]
async fn a_checkout_behind_anothers_opening_is_told_its_cause() {
    let cluster = cluster().await;
    let closed = config(&cluster)
        .port(closed_port())
        .connect_timeout(Duration::from_millis(200));
    let pool = Pool::builder(closed).max_size(1).build();
    let (first, second) = tokio::join!(pool.get(), pool.get());
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(matches!(error, Error::Connect(_)), "{error}");
    }
}

#[tokio::test]
async fn a_pool_that_is_all_in_use_does_not_speak_of_idle_ones() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    let error = pool.get_until(std::time::UNIX_EPOCH).await.unwrap_err();
    assert_eq!((pool.stats().idle, pool.stats().in_use), (0, 1));
    assert!(matches!(error, Error::CheckoutTimeout { cause: None, .. }));
    assert!(!error.to_string().contains("idle"), "{error}");
    drop(connection);
    assert_eq!((pool.stats().idle, pool.stats().in_use), (1, 0));
}
