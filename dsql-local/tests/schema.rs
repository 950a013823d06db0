//! Schema conflicts (OC001).

mod support;

use dsql_local::{LocalCluster, Refusal, SchemaConflicts};
use support::{connect, refused, run};

const CHANGED: (&str, &str) = (
    "40001",
    "schema has been updated by another transaction (OC001)",
);

async fn every() -> LocalCluster {
    let builder = LocalCluster::builder().schema_conflicts(SchemaConflicts::Every);
    builder.start().await.unwrap()
}

#[tokio::test]
async fn every_fails_other_sessions_once_by_a_definition() {
    let cluster = every().await;
    let admin = connect(&cluster).await;
    run(&admin, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
    let client = connect(&cluster).await;
    let insert = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
    for (definition, way) in [
        ("CREATE TABLE other (id int)", "simple"),
        ("GRANT SELECT ON t TO admin", "prepare"),
        ("CREATE ROLE app WITH LOGIN", "execute"),
        ("AWS IAM GRANT app TO 'arn:x'", "in a transaction"),
        ("CREATE INDEX ASYNC ON t (id)", "a definition"),
        ("BEGIN; DROP TABLE other; COMMIT", "execute"),
    ] {
        run(&admin, &["SELECT 1", definition]).await;
        let error = match way {
            "simple" => refused(client.batch_execute("SELECT 1").await),
            "prepare" => refused(client.prepare("SELECT 1").await),
            "execute" => refused(client.execute(&insert, &[&1]).await),
            "a definition" => refused(client.batch_execute("DROP TABLE t").await),
            _ => {
                run(&client, &["BEGIN READ ONLY"]).await;
                let error = refused(client.batch_execute("SELECT 1").await);
                run(&client, &["ROLLBACK"]).await;
                error
            }
        };
        assert_eq!(
            (error.code().code(), error.message()),
            CHANGED,
            "{definition}: {way}"
        );
        // The session continues with the new schema.
        run(&client, &["SELECT 1"]).await;
    }
}

#[tokio::test]
async fn a_transaction_that_spans_a_definition_cannot_commit() {
    let cluster = every().await;
    let admin = connect(&cluster).await;
    run(&admin, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
    let client = connect(&cluster).await;
    for prepared in [false, true] {
        run(&client, &["BEGIN", "INSERT INTO t VALUES (1)"]).await;
        run(&admin, &["CREATE SCHEMA s"]).await;
        let committed = match prepared {
            false => client.batch_execute("COMMIT").await,
            true => client.execute("COMMIT", &[]).await.map(drop),
        };
        let error = refused(committed);
        assert_eq!((error.code().code(), error.message()), CHANGED);
        run(&client, &["SELECT 1"]).await;
        run(&admin, &["DROP SCHEMA s"]).await;
        refused(client.batch_execute("SELECT 1").await);
    }
    assert!(cluster.query("SELECT FROM t").await.unwrap().is_empty());
}

#[tokio::test]
async fn own_and_earlier_definitions_fail_no_session() {
    let cluster = LocalCluster::start().await.unwrap();
    let (admin, early) = (connect(&cluster).await, connect(&cluster).await);
    run(
        &admin,
        &[
            "CREATE TABLE t (id int PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
            "CREATE TABLE other (id int)",
            "SELECT 1",
            "BEGIN",
            "CREATE TABLE undone (id int)",
            "ROLLBACK",
        ],
    )
    .await;
    run(&early, &["SELECT 1"]).await;
    run(
        &admin,
        &["BEGIN", "CREATE TABLE undone (id int)", "ROLLBACK"],
    )
    .await;
    run(&early, &["SELECT 1"]).await;
    assert_eq!(
        cluster
            .counts()
            .refused(|refusal| *refusal == Refusal::SchemaChanged),
        0
    );
}

#[tokio::test]
async fn schema_changes_can_be_injected_and_switched_off() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    run(&client, &["SELECT 1"]).await;
    cluster.change_schema();
    // A failed transaction answers 25P02 instead.
    run(&client, &["BEGIN"]).await;
    refused(client.batch_execute("SELECT nothing").await);
    run(&client, &["ROLLBACK", "SELECT 1"]).await;

    let cluster = LocalCluster::builder()
        .schema_conflicts(false)
        .start()
        .await
        .unwrap();
    let client = connect(&cluster).await;
    run(&client, &["SELECT 1"]).await;
    cluster.change_schema();
    run(&client, &["SELECT 1"]).await;
}

#[tokio::test]
async fn realistic_fails_sessions_that_used_the_table() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    for table in ["t", "u"] {
        run(
            &admin,
            &[&format!("CREATE TABLE {table} (id int PRIMARY KEY)")],
        )
        .await;
    }
    let (client, fresh) = (connect(&cluster).await, connect(&cluster).await);
    let insert = "INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING";
    for (used, definition, met) in [
        ("SELECT * FROM u", "CREATE TABLE v (id int)", false),
        (
            "SELECT * FROM t",
            "CREATE TABLE IF NOT EXISTS t (id int)",
            false,
        ),
        ("SELECT * FROM t", "ALTER TABLE u ADD COLUMN a int", false),
        ("SELECT * FROM t", "ALTER TABLE t ADD COLUMN a int", true),
        ("SELECT * FROM t", "GRANT SELECT ON t TO admin", true),
    ] {
        run(&client, &[used]).await;
        run(&admin, &[definition]).await;
        // Neither statement uses a user's table.
        run(&client, &["SHOW timezone", "SELECT 1 FROM pg_class"]).await;
        for prepared in [false, true] {
            let done = match prepared {
                false => client.batch_execute("DELETE FROM t").await,
                true => client.execute(insert, &[&1]).await.map(drop),
            };
            assert_eq!(done.is_err(), met && !prepared, "{definition}");
            if let Err(error) = done {
                let error = refused::<()>(Err(error));
                assert_eq!((error.code().code(), error.message()), CHANGED);
            }
        }
    }
    run(&fresh, &["SELECT * FROM t"]).await;
}

#[tokio::test]
async fn definitions_do_not_wait_for_open_transactions() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    run(
        &admin,
        &[
            "CREATE TABLE t (id int PRIMARY KEY)",
            "INSERT INTO t VALUES (1)",
        ],
    )
    .await;
    let (reader, writer) = (connect(&cluster).await, connect(&cluster).await);
    run(&reader, &["BEGIN", "SELECT * FROM t"]).await;
    run(&writer, &["BEGIN", "INSERT INTO t VALUES (2)"]).await;
    run(&admin, &["ALTER TABLE t ADD COLUMN a int"]).await;
    let read = refused(reader.batch_execute("SELECT * FROM t").await);
    let committed = refused(writer.batch_execute("COMMIT").await);
    for error in [read, committed] {
        assert_eq!((error.code().code(), error.message()), CHANGED);
    }
    run(&reader, &["ROLLBACK", "SELECT a FROM t"]).await;
    assert_eq!(cluster.query("SELECT * FROM t").await.unwrap().len(), 1);
}
