//! Background jobs: indexes and constraints.

use std::sync::Arc;
use std::time::Duration;

use dsql_local::LocalCluster;
use dsql_migrate::{Error, Migrator, Progress};
use tokio::time::sleep;

use crate::support::{Told, applied, cluster, migrations};

const TABLE: (&str, &str) = (
    "0001_t.sql",
    "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY, value text);
     INSERT INTO t VALUES (1, 'twice'), (2, 'twice');",
);
const INDEX: (&str, &str) = (
    "0002_index.sql",
    "CREATE INDEX ASYNC IF NOT EXISTS t_value ON t (value)",
);
const UNIQUE: (&str, &str) = (
    "0002_unique.sql",
    "CREATE UNIQUE INDEX ASYNC IF NOT EXISTS t_value ON t (value)",
);

/// Leaves the index in the state after a run that was killed right after it created the index, with
/// its job in this state.
async fn forget_index(cluster: &LocalCluster, job: &str) -> Option<String> {
    for statement in [
        "DELETE FROM dsql_migrations WHERE name = '0002_index'",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 't_value'::regclass",
        &format!("UPDATE pg_toast.dsql_jobs SET status = '{job}'"),
    ] {
        cluster.query(statement).await.unwrap();
    }
    index(cluster).await
}

/// Returns the object ID of the index, and checks that it is valid if it must be.
async fn index(cluster: &LocalCluster) -> Option<String> {
    let rows = cluster
        .query("SELECT to_regclass('t_value')::oid")
        .await
        .unwrap();
    rows[0][0].clone()
}

async fn valid(cluster: &LocalCluster) -> bool {
    let rows = "SELECT FROM pg_index WHERE indexrelid = 't_value'::regclass AND indisvalid";
    !cluster.query(rows).await.unwrap().is_empty()
}

#[tokio::test]
async fn index_of_a_killed_run_is_waited_for() {
    let cluster = cluster().await;
    let files = migrations(&[TABLE, INDEX]);
    let _first = Migrator::new(files.clone()).up(&*cluster).await.unwrap();
    let index_before = forget_index(&cluster, "processing").await;

    let resumed = tokio::spawn({
        let cluster = Arc::clone(&cluster);
        async move { Migrator::new(files).up(&*cluster).await }
    });
    let waiting = "SELECT FROM pg_stat_activity WHERE query LIKE 'CALL %wait_for_job%'";
    while cluster.query(waiting).await.unwrap().is_empty() {
        assert!(!resumed.is_finished(), "it must wait");
        sleep(Duration::from_millis(1)).await;
    }
    for ending in [
        "UPDATE pg_index SET indisvalid = true WHERE NOT indisvalid",
        "UPDATE pg_toast.dsql_jobs SET status = 'completed'",
    ] {
        cluster.query(ending).await.unwrap();
    }
    assert_eq!(applied(&resumed.await.unwrap().unwrap()), 1);
    assert_eq!(
        index(&cluster).await,
        index_before,
        "it was not built again"
    );
    assert!(valid(&cluster).await);
}

#[tokio::test]
async fn index_whose_build_failed_is_built_again() {
    let cluster = cluster().await;
    let files = migrations(&[TABLE, INDEX]);
    let _first = Migrator::new(files.clone()).up(&*cluster).await.unwrap();
    let failed = forget_index(&cluster, "failed").await;

    let told = Told::default();
    let migrator = Migrator::new(files).observer(told.observer());
    assert_eq!(applied(&migrator.up(&*cluster).await.unwrap()), 1);
    assert_ne!(index(&cluster).await, failed);
    assert!(valid(&cluster).await);
    let dropped = told.all();
    assert!(
        dropped
            .iter()
            .any(|step| matches!(step, Progress::Dropping(_)))
    );
}

#[tokio::test]
async fn index_build_that_fails_is_reported_and_resumed() {
    let cluster = cluster().await;
    let told = Told::default();
    let migrator = Migrator::new(migrations(&[TABLE, UNIQUE])).observer(told.observer());
    let error = migrator.up(&*cluster).await.unwrap_err();
    assert!(matches!(error, Error::Job { .. }), "{error}");
    let expected = "the job of 0002_unique.sql:1: statement 1 failed (could not create unique \
                    index";
    assert!(error.to_string().starts_with(expected), "{error}");
    let builds = told.lines();
    let builds = builds
        .iter()
        .filter(|line| *line == "applying 0002_unique.sql:1: statement 1");
    assert_eq!(builds.count(), 2, "it is built once more");

    cluster
        .query("UPDATE t SET value = id::text")
        .await
        .unwrap();
    assert_eq!(applied(&migrator.up(&*cluster).await.unwrap()), 1);
    assert!(valid(&cluster).await);
}

#[tokio::test]
async fn violated_constraint_is_reported() {
    let cluster = cluster().await;
    let check = (
        "0002_check.sql",
        "ALTER TABLE t ADD CONSTRAINT big CHECK (id > 1) NOT VALID;
         ALTER TABLE ASYNC t VALIDATE CONSTRAINT big;",
    );
    let migrator = Migrator::new(migrations(&[TABLE, check]));
    let error = migrator.up(&*cluster).await.unwrap_err();
    let expected = "the job of 0002_check.sql:2: statement 2 failed (";
    assert!(error.to_string().starts_with(expected), "{error}");

    cluster.query("DELETE FROM t WHERE id = 1").await.unwrap();
    assert_eq!(applied(&migrator.up(&*cluster).await.unwrap()), 1);
    let validated = "SELECT FROM pg_constraint WHERE conname = 'big' AND convalidated";
    assert_eq!(cluster.query(validated).await.unwrap().len(), 1);
}
