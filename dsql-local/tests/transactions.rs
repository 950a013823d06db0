//! The limits of a transaction: one definition or changes, rows, bytes and age.

mod support;

use std::time::Duration;

use dsql_local::{LocalCluster, Refusal};
use futures_util::SinkExt;
use support::{connect, refused, run};
use tokio_postgres::Client;

const MULTIPLE: &str = "multiple ddl statements not supported in a transaction";
const MIXED: &str = "ddl and dml are not supported in the same transaction";
const ROWS: &str = "transaction row limit exceeded";

async fn with_table(cluster: &LocalCluster) -> Client {
    let client = connect(cluster).await;
    run(&client, &["CREATE TABLE t (id int PRIMARY KEY)"]).await;
    client
}

async fn rows(cluster: &LocalCluster) -> usize {
    cluster.query("SELECT FROM t").await.unwrap().len()
}

#[tokio::test]
async fn definitions_are_alone_in_their_transaction() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    for (first, second, message) in [
        (
            "CREATE TABLE a (id int)",
            "CREATE TABLE b (id int)",
            MULTIPLE,
        ),
        ("CREATE TABLE a (id int)", "INSERT INTO t VALUES (1)", MIXED),
        ("INSERT INTO t VALUES (1)", "DROP TABLE t", MIXED),
        (
            "GRANT SELECT ON t TO admin",
            "REVOKE SELECT ON t FROM admin",
            MULTIPLE,
        ),
        (
            "CREATE ROLE app WITH LOGIN",
            "AWS IAM GRANT app TO 'arn:x'",
            MULTIPLE,
        ),
        (
            "CREATE TABLE a (id int)",
            "CREATE INDEX ASYNC ON t (id)",
            MULTIPLE,
        ),
        (
            "CREATE TABLE a (id int)",
            "WITH x AS (DELETE FROM t RETURNING 1) SELECT 1",
            MIXED,
        ),
    ] {
        let text = format!("{first}; {second}");
        let in_a_text = refused(client.batch_execute(&text).await);
        let in_a_block = refused(
            client
                .batch_execute(&format!("BEGIN; {text}; COMMIT"))
                .await,
        );
        client.batch_execute("ROLLBACK").await.unwrap();

        client.batch_execute("BEGIN").await.unwrap();
        client.execute(first, &[]).await.unwrap();
        client.query("SELECT * FROM t", &[]).await.unwrap();
        let extended = refused(client.execute(second, &[]).await);
        let after = refused(client.batch_execute("SELECT 1").await);
        assert_eq!(after.code().code(), "25P02", "{text}");
        client.batch_execute("COMMIT").await.unwrap();

        for error in [in_a_text, in_a_block, extended] {
            assert_eq!(
                (error.severity(), error.code().code(), error.message()),
                ("ERROR", "0A000", message),
                "{text}"
            );
        }
    }
    assert_eq!(rows(&cluster).await, 0);
    run(
        &client,
        &[
            "CREATE TABLE a (id int)",
            "INSERT INTO t VALUES (1)",
            "DROP TABLE a",
        ],
    )
    .await;
}

#[tokio::test]
async fn pipelined_transactions_are_separate() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let outcomes = futures_util::future::join_all(
        [
            "BEGIN",
            "INSERT INTO t VALUES (1)",
            "COMMIT",
            "CREATE TABLE a (id int)",
            "BEGIN",
            "CREATE TABLE b (id int)",
            "INSERT INTO t VALUES (2)",
            "ROLLBACK",
            "INSERT INTO t VALUES (3)",
        ]
        .map(|statement| client.batch_execute(statement)),
    )
    .await;
    let failed: Vec<_> = outcomes.iter().map(Result::is_err).collect();
    assert_eq!(
        failed,
        [false, false, false, false, false, false, true, false, false]
    );
    assert_eq!(rows(&cluster).await, 2);
}

#[tokio::test]
async fn a_refused_statement_fails_only_its_transaction() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    run(&client, &["BEGIN", "INSERT INTO t VALUES (1)"]).await;
    assert_eq!(
        refused(client.batch_execute("TRUNCATE t").await)
            .code()
            .code(),
        "0A000"
    );
    for statement in ["TRUNCATE t", "SELECT 1", "SAVEPOINT x"] {
        for error in [
            refused(client.batch_execute(statement).await),
            refused(client.execute(statement, &[]).await),
        ] {
            assert_eq!(error.code().code(), "25P02", "{statement}");
        }
    }
    run(&client, &["COMMIT"]).await;
    refused(client.batch_execute("TRUNCATE t").await);
    run(&client, &["SELECT 1"]).await;
    assert_eq!(rows(&cluster).await, 0);
}

#[tokio::test]
async fn a_transaction_writes_at_most_3000_rows() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let insert =
        |first: u32, last: u32| format!("INSERT INTO t SELECT generate_series({first}, {last})");
    run(&client, &[&insert(1, 3_000)]).await;

    // The statement that crosses the limit fails: in both protocols, in a transaction or alone.
    run(
        &client,
        &[
            "BEGIN",
            "DELETE FROM t WHERE id <= 1000",
            &insert(3_001, 4_500),
        ],
    )
    .await;
    run(&client, &["UPDATE t SET id = -id WHERE id <= 1500"]).await;
    let crossed = refused(client.execute("DELETE FROM t WHERE id = 2000", &[]).await);
    let after = refused(client.batch_execute("SELECT 1").await);
    assert_eq!(after.code().code(), "25P02");
    run(&client, &["COMMIT"]).await;
    for error in [
        crossed,
        refused(client.batch_execute(&insert(5_000, 8_000)).await),
        refused(client.execute(&insert(5_000, 8_000), &[]).await),
        refused(
            client
                .batch_execute(&format!(
                    "WITH x AS ({} RETURNING 1) SELECT 1",
                    insert(5_000, 8_000)
                ))
                .await,
        ),
        refused(
            client
                .batch_execute(&format!(
                    "{}; {}",
                    insert(5_000, 6_500),
                    insert(6_501, 8_000)
                ))
                .await,
        ),
    ] {
        assert_eq!(
            (error.severity(), error.code().code(), error.message()),
            ("ERROR", "54000", ROWS)
        );
        assert_eq!(error.where_(), None);
    }
    assert_eq!(rows(&cluster).await, 3_000);
    // Rows that a statement does not change do not count.
    run(
        &client,
        &[
            "BEGIN",
            &format!(
                "{} ON CONFLICT DO NOTHING",
                insert(1, 5_000).replace("5000", "3000")
            ),
            &insert(5_000, 7_999),
            "COMMIT",
        ],
    )
    .await;
}

#[tokio::test]
async fn copied_rows_count() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
    tokio::pin!(sink);
    let lines: String = (0..3_001).map(|id| format!("{id}\n")).collect();
    sink.send(bytes::Bytes::from(lines)).await.unwrap();
    assert_eq!(refused(sink.finish().await).message(), ROWS);
    assert_eq!(rows(&cluster).await, 0);
}

#[tokio::test]
async fn a_transaction_writes_at_most_10_mib() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    run(&client, &["CREATE TABLE t (id int PRIMARY KEY, text text)"]).await;
    let insert =
        "INSERT INTO t SELECT id, repeat('x', 1048576) FROM generate_series($1::int, $2) AS id";
    client.execute(insert, &[&1, &9]).await.unwrap();
    run(&client, &["BEGIN"]).await;
    client.execute(insert, &[&10, &20]).await.unwrap();
    for error in [
        refused(client.batch_execute("COMMIT").await),
        refused(client.execute(insert, &[&10, &20]).await),
    ] {
        assert_eq!(
            (error.code().code(), error.message(), error.detail()),
            (
                "54000",
                "transaction size limit 10mb exceeded",
                Some("Current transaction size 11mb > 10mb")
            )
        );
    }
    assert_eq!(rows(&cluster).await, 9);
}

#[tokio::test]
async fn an_old_transaction_can_only_be_rolled_back() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    for (last, prepared) in [
        ("INSERT INTO t VALUES (2)", false),
        ("COMMIT", false),
        ("COMMIT", true),
    ] {
        run(&client, &["BEGIN", "INSERT INTO t VALUES (1)"]).await;
        cluster.pass_time(Duration::from_secs(301));
        let error = refused(match prepared {
            false => client.batch_execute(last).await,
            true => client.execute(last, &[]).await.map(drop),
        });
        assert_eq!(
            (error.code().code(), error.message()),
            ("54000", "transaction age limit of 300s exceeded")
        );
        let detail = error.detail().unwrap();
        assert!(
            detail.starts_with("Current transaction age 3") && detail.ends_with("s exceeds 300s"),
            "{detail}"
        );
        run(&client, &["ROLLBACK"]).await;
    }
    assert_eq!(rows(&cluster).await, 0);
    run(&client, &["BEGIN"]).await;
    cluster.pass_time(Duration::from_secs(200));
    run(&client, &["COMMIT"]).await;
    let refusals = cluster
        .counts()
        .refused(|refusal| matches!(refusal, Refusal::TransactionAge { .. }));
    assert_eq!(refusals, 3);
}
