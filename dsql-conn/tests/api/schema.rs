//! Changes of the schema: one statement at a time, outlasting conflicts, jobs awaited.

use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Connection, Error};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};

use crate::support::{cluster, config};

async fn connected() -> (LocalCluster, Connection) {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    (cluster, connection)
}

#[tokio::test]
async fn a_change_outlasts_the_conflicts_that_other_changes_cause() {
    let (cluster, mut connection) = connected().await;
    let conflict = Effect::Refuse(Refusal::SchemaChanged);
    cluster.inject(Fault::at(Stage::Statement, conflict).times(5));
    let job = connection
        .execute_ddl("CREATE TABLE note (text text)")
        .await
        .unwrap();
    assert_eq!(job, None);
    assert_eq!(cluster.query("SELECT * FROM note").await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_change_is_one_statement() {
    let (_cluster, mut connection) = connected().await;
    let two = "CREATE TABLE one (a int); CREATE TABLE two (a int)";
    let error = connection.execute_ddl(two).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR), "{error}");
}

#[tokio::test]
async fn an_index_is_there_when_its_job_was_awaited() {
    let (cluster, mut connection) = connected().await;
    connection
        .execute_ddl("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let create = "CREATE INDEX ASYNC IF NOT EXISTS notes ON note (text)";
    let job = connection.execute_ddl(create).await.unwrap().unwrap();
    connection.wait_for_job(&job).await.unwrap();
    let valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'notes'::regclass";
    let valid = cluster.query(valid).await.unwrap();
    assert_eq!(valid[0][0].as_deref(), Some("t"));
}

#[tokio::test]
async fn a_job_that_failed_is_an_error() {
    let (_cluster, mut connection) = connected().await;
    connection
        .execute_ddl("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let twice = "INSERT INTO note VALUES ('same'), ('same')";
    connection.execute(twice, &[]).await.unwrap();
    let create = "CREATE UNIQUE INDEX ASYNC notes ON note (text)";
    let job = connection.execute_ddl(create).await.unwrap().unwrap();
    let error = connection.wait_for_job(&job).await.unwrap_err();
    assert!(
        matches!(&error, Error::JobFailed { job_id, .. } if *job_id == job),
        "{error}"
    );
}

#[tokio::test]
async fn a_job_that_there_is_not_is_the_servers_error() {
    let (_cluster, mut connection) = connected().await;
    let error = connection.wait_for_job("not a job").await.unwrap_err();
    assert!(matches!(error, Error::Query(_)), "{error}");
}

#[tokio::test]
async fn a_session_that_missed_a_change_is_served_all_the_same() {
    let (cluster, mut connection) = connected().await;
    let pool = crate::support::pool(&cluster, 1);
    connection
        .execute_ddl("CREATE TABLE note (text text)")
        .await
        .unwrap();
    drop(
        pool.get()
            .await
            .unwrap()
            .query("SELECT text FROM note", &[])
            .await
            .unwrap(),
    );
    connection
        .execute_ddl("ALTER TABLE note ADD COLUMN more text")
        .await
        .unwrap();
    pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(cluster.counts().logins, 2, "on the same connection");
}
