//! Statements: parameters that do not fit, statement timeouts, unread rows, generic callers.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::tokio_postgres::GenericClient;
use dsql_conn::tokio_postgres::types::ToSql;
use dsql_conn::{Connection, Error, RetryPolicy, retry};
use dsql_local::{Effect, Fault, Stage};
use futures_util::{TryStreamExt, pin_mut};

use crate::support::{bank, builder, cluster, config, flights, notes, pool, until};

#[tokio::test]
async fn a_parameter_whose_type_changed_is_prepared_again_once() {
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
async fn a_parameter_that_still_does_not_fit_is_an_error() {
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
async fn parameters_that_do_not_fit_are_not_sent_nor_retried() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    let unfit: [(&str, &[&(dyn ToSql + Sync)]); 4] = [
        ("SELECT $1::int", &[&1_i64]),
        ("SELECT $1::int", &[]),
        ("SELECT $1::int", &[&1_i32, &2_i32]),
        ("SELECT 'nul\0'", &[]),
    ];
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
    }
    assert_eq!(cluster.counts().statements, 0);
    // The connection is none the worse.
    connection
        .query_one("SELECT $1::int", &[&1_i32])
        .await
        .unwrap();
}

/// More rows than the driver buffers.
const ROWS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";

#[tokio::test]
async fn a_statement_behind_its_own_unread_rows_says_so() {
    let cluster = cluster().await;
    let config = config(&cluster).statement_timeout(Duration::from_millis(300));
    let pool = builder(config)
        .max_size(1)
        .settle_timeout(Duration::ZERO)
        .build();
    let connection = pool.get().await.unwrap();
    let rows = connection.query_raw(ROWS, [0_i32; 0]).await.unwrap();
    pin_mut!(rows);
    rows.try_next().await.unwrap();
    let error = connection.batch_execute("SELECT 1").await.unwrap_err();
    let Error::StatementTimeout {
        unread_rows: true, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(
        error.to_string().contains("rows of another query"),
        "{error}"
    );
}

#[tokio::test]
async fn a_transaction_behind_its_own_unread_rows_says_so() {
    let (cluster, pool) = bank().await;
    let policy = RetryPolicy::new().timeout(Duration::from_millis(500));
    let runs = AtomicU32::new(0);
    let transaction = pool.transaction_with(policy, async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        let rows = tx.query_raw(ROWS, [0_i32; 0]).await?;
        pin_mut!(rows);
        while rows.try_next().await?.is_some() {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        }
        Ok(())
    });
    let error: Error = transaction.await.unwrap_err();
    let Error::TransactionTimedOut {
        unread_rows: true,
        attempts: 1,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(!error.to_string().contains("make it shorter"), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 0);
}

const SLOW: &str = "SELECT pg_sleep(0.3)";

#[tokio::test]
async fn a_statement_that_timed_out_settles_on_its_connection() {
    let cluster = cluster().await;
    let after = Duration::from_millis(10);
    let pool = builder(config(&cluster).statement_timeout(after))
        .max_size(1)
        .build();
    let connection = pool.get().await.unwrap();
    let error = connection.batch_execute(SLOW).await.unwrap_err();
    let Error::StatementTimeout {
        after: told,
        unread_rows: false,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(told, after);
    assert!(error.may_have_applied());
    assert!(!connection.is_closed(), "it had time to settle");
    drop(connection);
    drop(pool.get().await.unwrap());
    assert_eq!((cluster.counts().logins, pool.stats().closed), (1, 0));
}

#[tokio::test]
async fn a_statement_that_does_not_settle_costs_its_connection() {
    let cluster = cluster().await;
    let config = config(&cluster).statement_timeout(Duration::from_millis(10));
    let pool = builder(config)
        .max_size(1)
        .settle_timeout(Duration::from_millis(10))
        .build();
    let connection = pool.get().await.unwrap();
    cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
    let error = connection.batch_execute("SELECT 1").await.unwrap_err();
    assert!(matches!(error, Error::StatementTimeout { .. }), "{error}");
    assert!(connection.is_closed());
    drop(connection);
    let replaced = pool.get().await.unwrap();
    replaced
        .with_statement_timeout(None)
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn a_call_has_a_statement_timeout_of_its_own() {
    let cluster = cluster().await;
    let short = Duration::from_millis(10);
    let impatient = config(&cluster)
        .statement_timeout(short)
        .connect()
        .await
        .unwrap();
    impatient
        .with_statement_timeout(None)
        .batch_execute(SLOW)
        .await
        .unwrap();
    let patient = impatient.with_statement_timeout(Duration::from_secs(60));
    patient.query(SLOW, &[]).await.unwrap();

    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    let error = connection
        .with_statement_timeout(short)
        .batch_execute(SLOW)
        .await;
    assert!(
        matches!(error, Err(Error::StatementTimeout { .. })),
        "{error:?}"
    );
    // The handle's timeout ends with it.
    connection.batch_execute(SLOW).await.unwrap();
}

#[tokio::test]
async fn a_statement_timeout_inside_a_transaction_is_not_retried() {
    let (cluster, _) = bank().await;
    for settles in [true, false] {
        let config = config(&cluster).statement_timeout(Duration::from_millis(10));
        let pool = match settles {
            true => builder(config).build(),
            false => builder(config)
                .settle_timeout(Duration::from_millis(10))
                .build(),
        };
        let runs = AtomicU32::new(0);
        let transaction = pool.transaction_with(RetryPolicy::new().idempotent(), async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            let inserting = tx.with_statement_timeout(None);
            inserting
                .execute("INSERT INTO note VALUES ('one')", &[])
                .await?;
            if !settles {
                cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
            }
            tx.batch_execute(SLOW).await
        });
        let error = transaction.await.unwrap_err();
        assert!(matches!(error, Error::StatementTimeout { .. }), "{error}");
        assert_eq!(runs.into_inner(), 1, "settles: {settles}");
        assert_eq!(pool.stats().lost_connections, 0);
        assert_eq!(notes(&cluster).await, 0);
    }
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

#[tokio::test]
async fn the_cached_way_prepares_once_and_the_drivers_each_time() {
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
