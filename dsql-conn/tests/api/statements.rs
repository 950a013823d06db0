//! Prepared statements: one round trip when warm, and never stale.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::tokio_postgres::GenericClient;
use dsql_conn::tokio_postgres::types::ToSql;
use dsql_conn::{Config, Connection, Error, RetryPolicy, retry};

use crate::support::{cluster, cluster_with_pool, config, flights, pool, until};

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
async fn statement_prepared_by_hand_is_used() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    let statement = connection.prepare_cached("SELECT 1").await.unwrap();
    assert_eq!(connection.execute(&statement, &[]).await.unwrap(), 1);
    let again = connection.prepare_cached("SELECT 1").await.unwrap();
    assert_eq!(connection.query(&again, &[]).await.unwrap().len(), 1);
    assert_eq!(flights(&cluster), ["PDS", "BES", "BES"]);
}

#[tokio::test]
async fn statement_that_the_server_forgot_is_prepared_again() {
    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    connection.query_one("SELECT 1", &[]).await.unwrap();
    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    let row = connection.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn statement_whose_columns_changed_is_prepared_again() {
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
async fn prepare_cached_is_fresh_after_columns_changed() {
    const ALL: &str = "SELECT * FROM note";

    let (cluster, pool) = cluster_with_pool().await;
    let connection = pool.get().await.unwrap();
    connection.query("SELECT 1", &[]).await.unwrap();
    let stale = connection.prepare_cached(ALL).await.unwrap();
    let add = "ALTER TABLE note ADD COLUMN more text";
    connection.batch_execute(add).await.unwrap();
    for _ in 0..2 {
        let error = connection.query(&stale, &[]).await.unwrap_err();
        assert!(!error.may_have_applied(), "{error}");
    }
    let fresh = connection.prepare_cached(ALL).await.unwrap();
    assert_eq!(fresh.columns().len(), 2);
    connection.query(&fresh, &[]).await.unwrap();
    // Only the stale one was forgotten.
    connection.query("SELECT 1", &[]).await.unwrap();
    let flights = flights(&cluster);
    let expected = ["BES", "BES", "PDS", "BES", "BES"];
    assert_eq!(flights[flights.len() - 5..], expected);
}

#[tokio::test]
async fn prepare_cached_is_fresh_after_a_parameter_changed() {
    const BY_ID: &str = "SELECT id FROM score WHERE id = $1";

    let cluster = cluster().await;
    let connection = connected(config(&cluster)).await;
    let create = "CREATE TABLE score (id int)";
    connection.batch_execute(create).await.unwrap();
    let stale = connection.prepare_cached(BY_ID).await.unwrap();
    for sql in ["DROP TABLE score", "CREATE TABLE score (id bigint)"] {
        connection.batch_execute(sql).await.unwrap();
    }

    let error = connection.query(&stale, &[&1_i64]).await.unwrap_err();
    assert!(error.to_string().starts_with("statement was not sent"));
    let fresh = connection.prepare_cached(BY_ID).await.unwrap();
    connection.query(&fresh, &[&1_i64]).await.unwrap();
}

#[tokio::test]
async fn transaction_with_stale_prepare_cached_runs_twice() {
    const ALL: &str = "SELECT * FROM note";

    let (_cluster, pool) = cluster_with_pool().await;
    let connection = pool.get().await.unwrap();
    let others = ["SELECT text FROM note", "SELECT *, 1 FROM note"];
    for text in others {
        connection.prepare_cached(text).await.unwrap();
    }
    connection.prepare_cached(ALL).await.unwrap();
    let add = "ALTER TABLE note ADD COLUMN more text";
    connection.batch_execute(add).await.unwrap();
    drop(connection);

    let runs = AtomicU32::new(0);
    let transaction = pool.transaction(async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        for text in [ALL, others[0], others[1]] {
            let statement = tx.prepare_cached(text).await?;
            tx.query(&statement, &[]).await?;
        }
        Ok(())
    });
    transaction.await.unwrap();
    assert_eq!(runs.into_inner(), 2);
}

#[tokio::test]
async fn stale_statement_kept_by_the_caller_clears_no_cache() {
    const ALL: &str = "SELECT * FROM note";

    let (cluster, pool) = cluster_with_pool().await;
    let connection = pool.get().await.unwrap();
    let kept = connection.prepare(ALL).await.unwrap();
    connection.query("SELECT 1", &[]).await.unwrap();
    let add = "ALTER TABLE note ADD COLUMN more text";
    connection.batch_execute(add).await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    connection.query(&kept, &[]).await.unwrap_err();
    connection.batch_execute("ROLLBACK").await.unwrap();
    connection.query("SELECT 1", &[]).await.unwrap();
    let flights = flights(&cluster);
    assert_eq!(flights[flights.len() - 2..], ["Q", "BES"]);
}

#[tokio::test]
async fn cache_of_statements_is_bounded() {
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

#[tokio::test]
async fn parameter_whose_type_changed_is_prepared_again_once() {
    const BY_ID: &str = "SELECT id FROM note WHERE id = $1";

    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (id int)")
        .await
        .unwrap();
    connection.query(BY_ID, &[&1_i32]).await.unwrap();
    for sql in ["DROP TABLE note", "CREATE TABLE note (id bigint)"] {
        connection.batch_execute(sql).await.unwrap();
    }
    connection
        .batch_execute("INSERT INTO note VALUES (1)")
        .await
        .unwrap();

    let row = connection.query_one(BY_ID, &[&1_i64]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 1);
    connection.query_one(BY_ID, &[&1_i64]).await.unwrap();
    let flights = flights(&cluster);
    assert_eq!(flights[flights.len() - 3..], ["PDS", "BES", "BES"]);
}

#[tokio::test]
async fn parameter_that_still_does_not_fit_is_an_error() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    connection.query("SELECT $1::int", &[&1_i32]).await.unwrap();
    let error = connection
        .query("SELECT $1::int", &[&1_i64])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("i64"),
        "the driver's cause: {error}"
    );
    assert_eq!(
        flights(&cluster),
        ["PDS", "BES", "PDS"],
        "prepared again, once"
    );
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_not_sent() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    let unfit: [(&str, &[&(dyn ToSql + Sync)]); 4] = [
        ("SELECT $1::int", &[&1_i64]),
        ("SELECT $1::int", &[]),
        ("SELECT $1::int", &[&1_i32, &2_i32]),
        ("SELECT 'nul\0'", &[]),
    ];
    let mut said_of = Vec::new();
    for (query, params) in unfit {
        let runs = AtomicU32::new(0);
        let error = retry(RetryPolicy::new().idempotent(), async || {
            runs.fetch_add(1, Ordering::SeqCst);
            connection.query(query, params).await
        });
        let error = error.await.unwrap_err();
        assert!(!error.may_have_applied(), "{error}");
        assert!(!error.is_connection_lost(), "{error}");
        assert_eq!(runs.into_inner(), 1, "{error}");
        let said = error.to_string();
        assert!(said.starts_with("statement was not sent: "), "{said}");
        said_of.push(said);
    }
    assert_eq!(
        said_of[0],
        "statement was not sent: parameter $1: cannot convert between the Rust type `i64` and the \
         Postgres type `int4`"
    );
    assert_eq!(cluster.counts().statements, 0);
    // The connection still works.
    connection
        .query_one("SELECT $1::int", &[&1_i32])
        .await
        .unwrap();
}

#[tokio::test]
async fn no_row_and_several_rows_are_told_apart() {
    const NONE: &str = "SELECT 1 WHERE false";
    const TWO: &str = "SELECT generate_series(1, 2)";
    const NO_ROW: &str = "the query returned no row; use query_opt if that may happen";
    const SEVERAL: &str = "the query returned more than one row; make the condition unique, add \
                           LIMIT 1, or use query";

    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    for (query, expected) in [(NONE, NO_ROW), (TWO, SEVERAL)] {
        let cached = connection.query_one(query, &[]).await.unwrap_err();
        let typed = connection.query_typed_one(query, &[]).await.unwrap_err();
        for error in [cached, typed] {
            assert_eq!(error.to_string(), expected);
            assert!(error.may_have_applied(), "it may have been an INSERT");
        }
    }
    assert!(connection.query_opt(NONE, &[]).await.unwrap().is_none());
    assert!(
        connection
            .query_typed_opt(NONE, &[])
            .await
            .unwrap()
            .is_none()
    );
    let cached = connection.query_opt(TWO, &[]).await.unwrap_err();
    let typed = connection.query_typed_opt(TWO, &[]).await.unwrap_err();
    for error in [cached, typed] {
        assert!(matches!(error, Error::SeveralRows), "{error}");
    }
}

#[tokio::test]
async fn cached_query_prepares_once_and_the_drivers_each_time() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    for _ in 0..2 {
        one(&connection).await;
    }
    for _ in 0..2 {
        two(&*connection).await;
    }
    let cached = ["PDS", "BES", "BES"];
    let driver = ["PDS", "BES"].repeat(2);
    until(&cluster, |counts| counts.statements == 4).await;
    assert_eq!(flights(&cluster), [&cached[..], &driver].concat());
}

async fn one(connection: &Connection) -> i32 {
    connection.query_one("SELECT 1", &[]).await.unwrap().get(0)
}

async fn two<C: GenericClient>(client: &C) -> i32 {
    client.query_one("SELECT 2", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn one_function_takes_every_kind_of_connection() {
    let cluster = cluster().await;
    let lone = config(&cluster).connect().await.unwrap();
    assert_eq!((one(&lone).await, two(&*lone).await), (1, 2));
    let timed = lone.with_statement_timeout(Duration::from_secs(60));
    assert_eq!((one(&timed).await, two(&**timed).await), (1, 2));
    drop(lone);

    let pool = pool(&cluster, 1);
    let pooled = pool.get().await.unwrap();
    assert_eq!((one(&pooled).await, two(&**pooled).await), (1, 2));
    drop(pooled);

    let in_transaction = pool.transaction(async |tx| Ok((one(&tx).await, two(&**tx).await)));
    assert_eq!(in_transaction.await.unwrap(), (1, 2));
}
