//! `retry` with statements of the caller: what is retried, and what is not.

use std::cell::Cell;
use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Context;
use dsql_conn::{Error, Pool, RetryPolicy, retry, retry_with, tokio_postgres};
use dsql_local::{Effect, Fault, Refusal, Stage};

use crate::support::{builder, cluster, cluster_with_pool, config, notes, select};

#[tokio::test]
async fn statement_is_retried_after_conflicts_and_applied_once() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let conflict = Effect::Refuse(Refusal::Conflict);
    cluster.inject(Fault::at(Stage::Statement, conflict).times(3));
    let runs = AtomicU32::new(0);
    retry(RetryPolicy::new(), async || {
        runs.fetch_add(1, Ordering::SeqCst);
        connection
            .batch_execute("INSERT INTO note VALUES ('one')")
            .await
    })
    .await
    .unwrap();
    assert_eq!(runs.into_inner(), 4);
    assert_eq!(cluster.query("SELECT 1 FROM note").await.unwrap().len(), 1);
}

#[tokio::test]
async fn conflict_is_found_among_the_sources_of_an_error() {
    #[derive(Debug, thiserror::Error)]
    #[error("the order was not placed")]
    struct OrderError(#[source] Error);

    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    cluster.inject(Fault::at(
        Stage::Statement,
        Effect::Refuse(Refusal::SchemaChanged),
    ));
    let placed = retry(RetryPolicy::new(), async || {
        let placed = connection.batch_execute("SELECT 1").await;
        placed.map_err(OrderError)
    });
    placed.await.unwrap();
}

#[tokio::test]
async fn last_conflict_is_returned_after_max_attempts() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    let conflict = Effect::Refuse(Refusal::Conflict);
    cluster.inject(Fault::at(Stage::Statement, conflict).always());
    let runs = Cell::new(0);
    let policy = RetryPolicy::new()
        .max_attempts(3)
        .backoff(Duration::ZERO, Duration::ZERO);
    let error = retry(policy, async || {
        runs.set(runs.get() + 1);
        connection.batch_execute("SELECT 1").await
    })
    .await
    .unwrap_err();
    let sqlstate = error.code().map(tokio_postgres::error::SqlState::code);
    assert_eq!((runs.get(), sqlstate), (3, Some("40001")));
}

#[tokio::test]
async fn lost_connection_is_not_retried() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    cluster.inject(Fault::at(Stage::Statement, Effect::Cut));
    let runs = Cell::new(0);
    let error = retry(RetryPolicy::new(), async || {
        runs.set(runs.get() + 1);
        connection.batch_execute("SELECT 1").await
    })
    .await
    .unwrap_err();
    assert!(error.is_connection_lost(), "{error}");
    assert_eq!(runs.get(), 1);
}

#[tokio::test]
async fn unknown_outcome_is_retried_only_if_idempotent() {
    for fault in [Effect::Cut, Effect::Refuse(Refusal::ServerUnavailable)] {
        let (cluster, pool) = cluster_with_pool().await;
        let runs = AtomicU32::new(0);
        let insert = async || {
            runs.fetch_add(1, Ordering::SeqCst);
            let connection = pool.get().await?;
            const INSERT: &str = "INSERT INTO note VALUES ('one') ON CONFLICT DO NOTHING";
            connection.execute(INSERT, &[]).await
        };
        cluster.inject(Fault::at(Stage::Statement, fault.clone()));
        let error = retry(RetryPolicy::new(), insert).await.unwrap_err();
        assert!(error.may_have_applied(), "{error}");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{fault:?}");

        // The next fault must not strike the driver's `Close` of the failed statement.
        select(&pool).await;
        cluster.inject(Fault::at(Stage::Statement, fault.clone()));
        let policy = RetryPolicy::new().idempotent();
        assert_eq!(retry(policy, insert).await.unwrap(), 1);
        assert_eq!(runs.load(Ordering::SeqCst), 3, "{fault:?}");
    }
}

#[tokio::test]
async fn lost_login_is_retried_by_connect_alone() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::Startup, Effect::Cut).always());
    let second = Duration::from_secs(1);
    let config = config(&cluster).connect_timeout(second);
    let pool = builder(config.clone()).checkout_timeout(second).build();
    let policy = RetryPolicy::new().idempotent();
    for is_pooled in [false, true] {
        let runs = Cell::new(0);
        let connect = async || {
            runs.set(runs.get() + 1);
            match is_pooled {
                false => config.connect().await.map(drop),
                true => pool.get().await.map(drop),
            }
        };
        let error = retry(policy, connect).await.unwrap_err();
        assert!(error.connect_error().is_some(), "{error}");
        assert_eq!(runs.get(), 1);
    }
}

#[tokio::test]
async fn outcome_stays_unknown_after_a_later_refusal() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::lose_commit_reply());
    let insert = async || {
        let connection = pool.get().await?;
        let insert = "BEGIN; INSERT INTO note VALUES ('one'); COMMIT";
        connection.batch_execute(insert).await
    };
    let error = retry(RetryPolicy::new().idempotent(), insert).await;
    assert!(error.unwrap_err().may_have_applied());
}

#[tokio::test]
async fn outcome_stays_unknown_after_later_conflicts() {
    let (cluster, pool) = cluster_with_pool().await;
    let lost = Fault::at(Stage::Statement, Effect::Refuse(Refusal::ServerUnavailable));
    cluster.inject(lost);
    let conflict = Fault::at(Stage::Statement, Effect::Refuse(Refusal::Conflict));
    cluster.inject(conflict.always());
    let insert = async || {
        let connection = pool.get().await?;
        const INSERT: &str = "INSERT INTO note VALUES ('one') ON CONFLICT DO NOTHING";
        connection.execute(INSERT, &[]).await
    };
    let policy = RetryPolicy::new().idempotent().max_attempts(2);
    let error = retry(policy, insert).await.unwrap_err();
    assert!(error.may_have_applied(), "{error}");
}

#[tokio::test]
async fn a_refused_statement_was_not_applied() {
    let (_cluster, pool) = cluster_with_pool().await;
    let connection = pool.get().await.unwrap();
    for statement in [
        "INSERT INTO note VALUES (NULL)",
        "INSERT INTO missing VALUES (1)",
        "SELECT 1 / 0",
        "BEGIN; SAVEPOINT here",
    ] {
        let error = connection.batch_execute(statement).await.unwrap_err();
        assert!(!error.may_have_applied(), "{error}");
    }
}

#[tokio::test]
async fn other_errors_are_returned_at_once() {
    #[derive(Debug)]
    struct Other;

    impl fmt::Display for Other {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("other")
        }
    }

    impl std::error::Error for Other {}

    let runs = Cell::new(0);
    let failed: Result<(), Other> = retry(RetryPolicy::new(), async || {
        runs.set(runs.get() + 1);
        Err(Other)
    })
    .await;
    assert!(failed.is_err());
    assert_eq!(runs.get(), 1);
}

type BoxError = Box<dyn StdError + Send + Sync>;

/// Fails with two conflicts, then with an error of its own.
async fn insert(pool: &Pool, runs: &AtomicU32) -> Result<(), BoxError> {
    runs.fetch_add(1, Ordering::SeqCst);
    let connection = pool.get().await?;
    connection
        .execute("INSERT INTO note VALUES ('one')", &[])
        .await?;
    Err(BoxError::from("closing time"))
}

#[tokio::test]
async fn retry_takes_boxed_errors_and_anyhow() {
    let (cluster, pool) = cluster_with_pool().await;
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
