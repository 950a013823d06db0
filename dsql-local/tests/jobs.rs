//! Jobs: statements that the service runs in the background.

mod support;

use dsql_local::LocalCluster;
use support::{connect, refused, run};
use tokio_postgres::{Client, SimpleQueryMessage};

async fn with_table(cluster: &LocalCluster) -> Client {
    let client = connect(cluster).await;
    run(
        &client,
        &[
            "CREATE TABLE t (id int PRIMARY KEY, value text)",
            "INSERT INTO t VALUES (1, 'twice'), (2, 'twice')",
        ],
    )
    .await;
    client
}

async fn job(client: &Client, statement: &str) -> String {
    let row = client.query_one(statement, &[]).await.unwrap();
    assert_eq!(row.columns()[0].name(), "job_id");
    let id: String = row.get(0);
    let of_the_alphabet = |c: char| c.is_ascii_lowercase() || ('2'..='7').contains(&c);
    assert!(id.len() == 26 && id.chars().all(of_the_alphabet), "{id}");
    id
}

async fn succeeded(client: &Client, job: &str) -> bool {
    let call = format!("CALL sys.wait_for_job('{job}')");
    client.query_one(&call, &[]).await.unwrap().get("succeeded")
}

#[tokio::test]
async fn an_index_is_built_by_a_job() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let messages = client
        .simple_query("CREATE INDEX ASYNC IF NOT EXISTS by_value ON t (value) INCLUDE (id)")
        .await
        .unwrap();
    let rows = messages.iter().filter(
        |message| matches!(message, SimpleQueryMessage::Row(row) if row.get("job_id").is_some()),
    );
    assert_eq!(rows.count(), 1);
    for statement in [
        "CREATE INDEX ASYNC ON t (value)",
        "CREATE INDEX ASYNC \"Lower\" ON t ((lower(value))) WHERE value <> 'it''s'",
        "CREATE UNIQUE INDEX ASYNC by_both ON t (value, id) NULLS NOT DISTINCT",
    ] {
        let job = job(&client, statement).await;
        assert!(succeeded(&client, &job).await, "{statement}");
    }
    let jobs = client
        .query(
            "SELECT status, job_type, object_name, details, class_id, object_id, start_time, \
             update_time FROM sys.jobs",
            &[],
        )
        .await
        .unwrap();
    let jobs: Vec<[Option<&str>; 4]> = jobs
        .iter()
        .map(|row| [row.get(0), row.get(1), row.get(2), row.get(3)])
        .collect();
    // The service names the object only until the job completes.
    assert_eq!(
        jobs,
        [[Some("completed"), Some("INDEX_BUILD"), None, None]; 4]
    );
    let valid = cluster
        .query(
            "SELECT FROM pg_index \
             WHERE indrelid = 't'::regclass AND indisvalid AND NOT indisprimary",
        )
        .await
        .unwrap();
    assert_eq!(valid.len(), 4);
}

#[tokio::test]
async fn a_failed_build_raises_no_error() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let job = job(&client, "CREATE UNIQUE INDEX ASYNC by_value ON t (value)").await;
    assert!(!succeeded(&client, &job).await);
    let row = client
        .query_one(
            "SELECT status, details FROM sys.jobs WHERE job_id = $1",
            &[&job],
        )
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "failed");
    assert_eq!(
        row.get::<_, &str>(1),
        "could not create unique index \"by_value\""
    );
}

#[tokio::test]
async fn a_constraint_is_validated_by_a_job() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    for (constraint, valid) in [("value IS NOT NULL", true), ("value <> 'twice'", false)] {
        run(
            &client,
            &[&format!(
                "ALTER TABLE t ADD CONSTRAINT c CHECK ({constraint}) NOT VALID"
            )],
        )
        .await;
        let job = job(&client, "ALTER TABLE ASYNC t VALIDATE CONSTRAINT c").await;
        assert_eq!(succeeded(&client, &job).await, valid);
        run(&client, &["ALTER TABLE t DROP CONSTRAINT c"]).await;
    }
}

#[tokio::test]
async fn invalid_job_statements_get_the_services_errors() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let known = job(&client, "CREATE INDEX ASYNC by_value ON t (value)").await;
    for (statement, code, message) in [
        (
            "CREATE INDEX ASYNC public.by_id ON t (id)",
            "42601",
            "syntax error at or near \".\"",
        ),
        (
            "CREATE INDEX ASYNC by_value ON t (value)",
            "42P07",
            "relation \"by_value\" already exists",
        ),
        (
            "CREATE INDEX ASYNC x ON missing (value)",
            "42P01",
            "relation \"missing\" does not exist",
        ),
        (
            "CALL sys.wait_for_job('no job')",
            "22P02",
            "Unable to convert text to UUID",
        ),
        (
            "CALL sys.wait_for_job((SELECT 'x'))",
            "0A000",
            "cannot use subquery in CALL argument",
        ),
        (
            "SELECT sys.wait_for_job('x')",
            "42809",
            "sys.wait_for_job(unknown) is a procedure",
        ),
    ] {
        for error in [
            refused(client.batch_execute(statement).await),
            refused(client.execute(statement, &[]).await),
        ] {
            assert_eq!(
                (error.severity(), error.code().code(), error.message()),
                ("ERROR", code, message)
            );
            assert_eq!(error.where_(), None);
        }
    }
    let call = format!("CALL sys.wait_for_job('{known}')");
    run(&client, &["BEGIN"]).await;
    let waiting = refused(client.batch_execute(&call).await);
    assert_eq!(waiting.code().code(), "25001");
    run(&client, &["ROLLBACK", &call]).await;
    // A definition needs a transaction of its own.
    run(&client, &["BEGIN; CREATE INDEX ASYNC ON t (value); COMMIT"]).await;
}
