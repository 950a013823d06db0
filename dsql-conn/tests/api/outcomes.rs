//! Commits whose reply was lost, settled by an outcome table.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Error, Outcome, OutcomeId, Outcomes, Pool, RetryPolicy, RollbackCause};
use dsql_local::{Action, Effect, Fault, Late, LocalCluster, Refusal, Stage};

use crate::support::{self, config, pool};

const OUTCOMES: Outcomes = Outcomes::table("outcomes");

/// A cluster with an outcome table and a table of entries that may double.
async fn cluster() -> LocalCluster {
    let cluster = support::cluster().await;
    let admin = config(&cluster).connect().await.unwrap();
    let create = OUTCOMES.create_table();
    for statement in ["CREATE TABLE entry (n int)", &create] {
        admin.batch_execute(statement).await.unwrap();
    }
    cluster
}

/// Writes one entry in a transaction that counts the runs of its body, and returns what it returns.
async fn write(pool: &Pool, policy: RetryPolicy, runs: &AtomicU32) -> Result<u32, Error> {
    pool.transaction_with(policy, async |tx| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        tx.execute("INSERT INTO entry VALUES (1)", &[]).await?;
        Ok(run)
    })
    .await
}

async fn entries(cluster: &LocalCluster) -> usize {
    cluster.query("SELECT n FROM entry").await.unwrap().len()
}

/// The rows of the outcome table: how many say committed, and how many are tombstones.
async fn outcomes(cluster: &LocalCluster) -> [usize; 2] {
    let rows = cluster.query("SELECT committed FROM outcomes").await;
    let rows = rows.unwrap();
    ["t", "f"].map(|value| {
        let value = Some(value.to_owned());
        rows.iter().filter(|row| row[0] == value).count()
    })
}

/// Writes an entry under a fault. The entry must exist once, and the transaction returns this run's
/// value.
async fn written_under(fault: Fault, expected_run: u32, expected_outcomes: [usize; 2]) {
    let cluster = cluster().await;
    cluster.inject(fault);
    let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
    let policy = RetryPolicy::new().outcomes(OUTCOMES);
    assert_eq!(write(&pool, policy, &runs).await.unwrap(), expected_run);
    assert_eq!(runs.into_inner(), expected_run);
    assert_eq!(entries(&cluster).await, 1);
    assert_eq!(outcomes(&cluster).await, expected_outcomes);
}

#[tokio::test]
async fn a_recorded_transaction_takes_two_round_trips() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let policy = RetryPolicy::new().outcomes(OUTCOMES);
    let runs = AtomicU32::new(0);
    write(&pool, policy, &runs).await.unwrap();
    let log = || cluster.connections().last().unwrap().clone();
    let before = log();
    write(&pool, policy, &runs).await.unwrap();
    let after = log();
    let sent = after.flights[before.flights.len()..].iter();
    let sent = sent.filter(|flight| *flight != "CS").count();
    // Three requests, of which the last is sent without waiting for the one before.
    assert_eq!((sent, after.pipelined - before.pipelined), (3, 1));
    assert_eq!(outcomes(&cluster).await, [2, 0]);
}

#[tokio::test]
async fn an_applied_commit_returns_the_value_of_the_body() {
    written_under(Fault::lose_commit_reply(), 1, [1, 0]).await;
}

#[tokio::test]
async fn a_commit_that_was_not_applied_runs_again() {
    written_under(Fault::at(Stage::Commit, Effect::Cut), 2, [1, 1]).await;
}

#[tokio::test]
async fn an_applied_commit_that_the_server_disowns_is_found() {
    let unavailable = Fault::misreport_commit(Refusal::ServerUnavailable);
    written_under(unavailable, 1, [1, 0]).await;
}

#[tokio::test]
async fn a_commit_without_a_reply_is_settled_before_the_deadline() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::Committed, Effect::Stall));
    let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
    let policy = RetryPolicy::new().timeout(Duration::from_secs(8));
    let written = write(&pool, policy.outcomes(OUTCOMES), &runs).await;
    assert_eq!(written.unwrap(), 1);
    cluster.release();
}

/// The lost commit arrives before, at or after the tombstone, or while the body runs again.
#[tokio::test]
async fn a_late_commit_is_applied_once_or_not_at_all() {
    for statements in 0..=6 {
        let cluster = cluster().await;
        cluster.inject(Fault::deliver_commit_late(Late::ByStatements(statements)));
        let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
        let policy = RetryPolicy::new().outcomes(OUTCOMES);
        let run = write(&pool, policy, &runs).await.unwrap();
        let connection = pool.get().await.unwrap();
        for _ in 0..statements {
            connection.query_typed("SELECT 1", &[]).await.unwrap();
        }
        drop(connection);
        pool.close(Duration::from_secs(60)).await;
        while cluster.counts().open > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(entries(&cluster).await, 1);
        let tombstones = usize::try_from(run).unwrap() - 1;
        assert_eq!(outcomes(&cluster).await, [1, tombstones], "{statements}");
        if statements > 1 {
            assert_eq!(run, 2);
        }
    }
}

/// Shows why the tombstone is needed: a worker that looks for the row and finds none writes twice.
#[tokio::test]
async fn looking_without_a_tombstone_doubles_a_write() {
    let cluster = cluster().await;
    cluster.inject(Fault::deliver_commit_late(Late::ByStatements(2)));
    let (pool, runs) = (pool(&cluster, 2), AtomicU32::new(0));
    let unknown = write(&pool, RetryPolicy::new(), &runs).await.unwrap_err();
    assert!(matches!(unknown, Error::CommitUnknown { id: None, .. }));

    let found = "SELECT FROM entry";
    let found = pool.get().await.unwrap().query_typed(found, &[]).await;
    assert_eq!(found.unwrap().len(), 0);
    write(&pool, RetryPolicy::new(), &runs).await.unwrap();
    while entries(&cluster).await < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_commit_lost_in_an_outage_is_settled_later() {
    for (fault, expected) in [
        (Fault::lose_commit_reply(), Outcome::Committed),
        (Fault::at(Stage::Commit, Effect::Cut), Outcome::RolledBack),
    ] {
        let cluster = cluster().await;
        let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
        let policy = RetryPolicy::new().outcomes(OUTCOMES);
        write(&pool, policy, &runs).await.unwrap();
        cluster.inject(fault);
        cluster.inject(Fault::at(Stage::Accept, Effect::Cut).always());
        let policy = policy.timeout(Duration::from_secs(1));
        let error = write(&pool, policy, &runs).await.unwrap_err();
        let Error::CommitUnknown { id: Some(id), .. } = error else {
            panic!("{error}");
        };
        assert!(error.to_string().contains(&id.to_string()), "{error}");

        cluster.clear_faults();
        let id: OutcomeId = id.to_string().parse().unwrap();
        let connection = config(&cluster).connect().await.unwrap();
        for _ in 0..2 {
            assert_eq!(OUTCOMES.settle(&connection, id).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn a_single_connection_settles_on_another_one() {
    let cluster = cluster().await;
    let policy = RetryPolicy::new().outcomes(OUTCOMES);
    let insert = "INSERT INTO entry VALUES (1)";

    cluster.inject(Fault::lose_commit_reply());
    let mut connection = config(&cluster).connect().await.unwrap();
    let body = async |tx: dsql_conn::Transaction| tx.execute(insert, &[]).await;
    let written = connection.transaction_with(policy, body).await;
    assert_eq!(written.unwrap(), 1);

    cluster.inject(Fault::at(Stage::Commit, Effect::Cut));
    let mut connection = config(&cluster).connect().await.unwrap();
    let error = connection.transaction_with(policy, body).await.unwrap_err();
    let is_lost = matches!(error, Error::RolledBack(RollbackCause::CommitLost));
    assert!(is_lost && !error.may_have_applied(), "{error}");
    assert_eq!(entries(&cluster).await, 1);
}

#[tokio::test]
async fn an_unusable_table_is_reported_at_the_first_commit() {
    for (statement, remedy) in [
        (
            "DROP TABLE outcomes",
            r#"CREATE TABLE IF NOT EXISTS "outcomes""#,
        ),
        (
            "ALTER TABLE outcomes DROP CONSTRAINT outcomes_pkey",
            "has another shape",
        ),
        (
            "ALTER TABLE outcomes RENAME at TO happened",
            "has another shape",
        ),
    ] {
        let cluster = cluster().await;
        cluster.query(statement).await.unwrap();
        let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
        let policy = RetryPolicy::new().outcomes(OUTCOMES);
        let error = write(&pool, policy, &runs).await.unwrap_err();
        assert!(matches!(error, Error::OutcomeTable(..)), "{error}");
        assert!(error.to_string().contains(remedy), "{error}");
        assert!(!error.may_have_applied());
        assert_eq!((runs.into_inner(), entries(&cluster).await), (1, 0));
        // The connection can be used again.
        let rows = pool.get().await.unwrap().query_typed("SELECT 1", &[]).await;
        assert_eq!((rows.unwrap().len(), cluster.connections().len()), (1, 2));
    }
}

#[tokio::test]
async fn a_table_without_a_grant_names_the_grant() {
    let cluster = cluster().await;
    let app = cluster.identity("app", &[Action::DbConnect]);
    let script = format!(
        "CREATE ROLE app WITH LOGIN; AWS IAM GRANT app TO '{}'; GRANT ALL ON entry TO app",
        app.arn()
    );
    cluster.run_script(&script).await.unwrap();
    let config = config(&cluster)
        .user("app")
        .credentials(support::credentials(&app));
    let pool = support::builder(config).build();
    let policy = RetryPolicy::new().outcomes(OUTCOMES);
    let error = write(&pool, policy, &AtomicU32::new(0)).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    let grant = r#"GRANT SELECT, INSERT, UPDATE, DELETE ON "outcomes""#;
    assert!(error.to_string().contains(grant), "{error}");
}

#[tokio::test]
async fn a_read_only_transaction_cannot_write() {
    let cluster = cluster().await;
    let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
    let policy = RetryPolicy::new().read_only();
    let error = write(&pool, policy, &runs).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
}

#[tokio::test]
async fn a_read_only_transaction_is_run_again_after_a_lost_commit() {
    let cluster = cluster().await;
    let (pool, runs) = (pool(&cluster, 1), AtomicU32::new(0));
    cluster.inject(Fault::at(Stage::Committed, Effect::Cut));
    let policy = RetryPolicy::new().read_only().outcomes(OUTCOMES);
    let read = pool.transaction_with(policy, async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.query("SELECT n FROM entry", &[]).await
    });
    assert_eq!(read.await.unwrap().len(), 0);
    assert_eq!(runs.into_inner(), 2);
    assert_eq!(outcomes(&cluster).await, [0, 0]);
}

#[tokio::test]
async fn old_rows_are_swept_and_young_ones_stay() {
    let cluster = cluster().await;
    let insert = "INSERT INTO outcomes SELECT gen_random_uuid(), true, now() - interval";
    for (age, rows) in [("'3 hours'", 2_500), ("'1 hour'", 10)] {
        let insert = format!("{insert} {age} FROM generate_series(1, {rows})");
        cluster.query(&insert).await.unwrap();
    }
    let connection = config(&cluster).connect().await.unwrap();
    let statements = cluster.counts().statements;
    let swept = OUTCOMES.sweep(&connection, Outcomes::MIN_SWEEP_AGE).await;
    assert_eq!(swept.unwrap(), 2_500);
    assert_eq!(cluster.counts().statements - statements, 3);
    assert_eq!(outcomes(&cluster).await, [10, 0]);
}

#[tokio::test]
async fn rows_that_may_be_needed_are_not_swept() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    let before = cluster.counts().statements;
    let early = Outcomes::MIN_SWEEP_AGE - Duration::from_secs(1);
    let error = OUTCOMES.sweep(&connection, early).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error}");
    assert_eq!(cluster.counts().statements, before);
}

#[tokio::test]
async fn an_old_id_is_not_settled() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    let id: OutcomeId = "9f0c2f1e-5b0a-8c3d-a7e4-019aa2d5c1f0".parse().unwrap();
    let error = OUTCOMES.settle(&connection, id).await.unwrap_err();
    assert!(matches!(error, Error::OutcomeExpired(_)), "{error}");
    assert!(error.may_have_applied());
    assert_eq!(outcomes(&cluster).await, [0, 0]);
}

/// The late transaction has locks in the engine. It must still release them to others.
#[tokio::test]
async fn a_late_commit_blocks_no_other_transaction() {
    let cluster = cluster().await;
    cluster.query("INSERT INTO entry VALUES (0)").await.unwrap();
    let late = Late::By(Duration::from_secs(3));
    cluster.inject(Fault::deliver_commit_late(late));
    let pool = pool(&cluster, 2);
    let add = async || {
        let body =
            async |tx: dsql_conn::Transaction| tx.execute("UPDATE entry SET n = 1", &[]).await;
        pool.transaction(body).await
    };
    let unknown = add().await.unwrap_err();
    assert!(matches!(unknown, Error::CommitUnknown { .. }), "{unknown}");
    assert_eq!(add().await.unwrap(), 1);
}
