//! Prepared statements: one round trip when warm, and none that is stale.

use dsql_conn::{Config, Connection};

use crate::support::{cluster, config, flights};

async fn connected(config: Config) -> Connection {
    config.connect().await.unwrap()
}

#[tokio::test]
async fn each_text_is_prepared_once() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    for number in 0..3_i32 {
        let row = connection
            .query_one("SELECT $1::int", &[&number])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i32>(0), number);
        let row = connection
            .query_opt("SELECT 1 WHERE false", &[])
            .await
            .unwrap();
        assert!(row.is_none());
    }
    assert_eq!(
        flights(&cluster),
        ["PDS", "BES", "PDS", "BES", "BES", "BES", "BES", "BES"]
    );
}

#[tokio::test]
async fn a_statement_that_was_prepared_by_hand_is_used_as_it_is() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    let statement = connection.prepare_cached("SELECT 1").await.unwrap();
    assert_eq!(connection.execute(&statement, &[]).await.unwrap(), 1);
    let again = connection.prepare_cached("SELECT 1").await.unwrap();
    assert_eq!(connection.query(&again, &[]).await.unwrap().len(), 1);
    assert_eq!(flights(&cluster), ["PDS", "BES", "BES"]);
}

#[tokio::test]
async fn a_statement_that_the_server_forgot_is_prepared_anew() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    connection.query_one("SELECT 1", &[]).await.unwrap();
    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    let row = connection.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_statement_whose_columns_changed_is_prepared_anew() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    connection
        .batch_execute("CREATE TABLE note (a int)")
        .await
        .unwrap();
    connection.query("SELECT * FROM note", &[]).await.unwrap();
    connection
        .batch_execute("ALTER TABLE note ADD COLUMN b int")
        .await
        .unwrap();
    connection
        .execute("INSERT INTO note VALUES (1, 2)", &[])
        .await
        .unwrap();
    let rows = connection.query("SELECT * FROM note", &[]).await.unwrap();
    assert_eq!(rows[0].len(), 2);
}

#[tokio::test]
async fn texts_without_end_do_not_pile_up() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    for number in 0..300 {
        connection
            .query_one(&format!("SELECT {number}"), &[])
            .await
            .unwrap();
    }
    let kept = connection
        .query_one("SELECT count(*) FROM pg_prepared_statements", &[])
        .await
        .unwrap();
    assert!(kept.get::<_, i64>(0) <= 257);
}
