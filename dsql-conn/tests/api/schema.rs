//! DDL: one statement at a time, retried after conflicts, with jobs awaited.

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
async fn ddl_is_retried_after_conflicts_with_other_ddl() {
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
async fn ddl_takes_one_statement() {
    let (_cluster, mut connection) = connected().await;
    let two = "CREATE TABLE one (a int); CREATE TABLE two (a int)";
    let error = connection.execute_ddl(two).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::SYNTAX_ERROR), "{error}");
}

#[tokio::test]
async fn index_exists_after_its_job_ended() {
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
async fn failed_job_is_an_error() {
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
async fn unknown_job_is_an_error_of_the_server() {
    let (_cluster, mut connection) = connected().await;
    let error = connection.wait_for_job("not a job").await.unwrap_err();
    assert!(matches!(error, Error::Query(_)), "{error}");
}

#[tokio::test]
async fn session_with_an_old_schema_is_served() {
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
