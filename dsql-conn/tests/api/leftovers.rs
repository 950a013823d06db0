//! Work that a connection's last user left unfinished never reaches the next one.

use std::future::pending;
use std::pin::Pin;
use std::time::Duration;

use dsql_conn::{Error, Pool, PooledConnection};
use dsql_local::{Effect, Fault, LocalCluster, Stage};
use futures_util::future::join;
use futures_util::{FutureExt, TryStreamExt, pin_mut};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::support::{builder, cluster, config, pool, select, until};

/// More than the driver and the network buffer.
const ROWS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";

/// The client has sent nothing yet: `BEGIN` is in the driver's queue when the connection is
/// returned.
#[tokio::test]
async fn queued_begin_does_not_swallow_the_next_insert() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    drop(connection);

    for round in 1..=20_i64 {
        let connection = pool.get().await.unwrap();
        assert!(connection.batch_execute("BEGIN").now_or_never().is_none());
        drop(connection);

        let connection = pool.get().await.unwrap();
        connection
            .execute("INSERT INTO note VALUES ('kept')", &[])
            .await
            .unwrap();
        drop(connection);
        let kept = cluster.query("SELECT count(*) FROM note").await.unwrap();
        assert_eq!(kept[0][0].as_deref(), Some(&*round.to_string()));
    }
}

#[tokio::test]
async fn connection_with_an_open_transaction_is_closed() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    drop(connection);

    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn dropped_transaction_is_rolled_back_before_the_next_checkout() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let mut connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    for _ in 0..20 {
        let inserted = Notify::new();
        let transaction = connection.transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('dropped')", &[])
                .await?;
            inserted.notify_one();
            pending::<Result<(), Error>>().await
        });
        tokio::select! {
            _ = transaction => panic!("it was committed"),
            () = inserted.notified() => {}
        }
        drop(connection);
        connection = pool.get().await.unwrap();
        let row = connection
            .query_one("SELECT count(*) FROM note", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 0);
    }
    assert_eq!(cluster.counts().logins, 1, "on the same connection");
}

#[tokio::test]
async fn reply_to_a_dropped_query_is_discarded() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for round in 0..50 {
        let connection = pool.get().await.unwrap();
        {
            let query = connection.query_one("SELECT 'the last user''s'", &[]);
            pin_mut!(query);
            for _ in 0..round % 5 {
                if (&mut query).now_or_never().is_some() {
                    break;
                }
                yield_now().await;
            }
        }
        drop(connection);
        let connection = pool.get().await.unwrap();
        let row = connection.query_one("SELECT 'mine'", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "mine");
    }
    assert_eq!(cluster.counts().logins, 1, "on the same connection");
}

#[tokio::test]
async fn connection_with_a_running_statement_is_skipped() {
    let cluster = cluster().await;
    let pool = pool_with_short_settle_timeout(&cluster);
    let connection = pool.get().await.unwrap();
    cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
    {
        let query = connection.batch_execute("SELECT 1");
        pin_mut!(query);
        assert!((&mut query).now_or_never().is_none());
    }
    drop(connection);
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn unanswered_statement_makes_the_others_ping() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster))
        .max_size(2)
        .settle_timeout(Duration::from_millis(100))
        .ping_timeout(Duration::from_millis(100))
        .build();
    let (first, second) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    for connection in [&first, &second] {
        connection.batch_execute("SELECT 1").await.unwrap();
    }
    cluster.black_hole_all();
    assert!(first.batch_execute("SELECT 1").now_or_never().is_none());
    // The connection returned last is checked out first.
    drop(second);
    drop(first);
    let answered = pool.get().await.unwrap();
    answered.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(cluster.counts().logins, 3);
}

/// A pool of one connection that waits only briefly for unfinished work.
pub(crate) fn pool_with_short_settle_timeout(cluster: &LocalCluster) -> Pool {
    builder(config(cluster))
        .max_size(1)
        .settle_timeout(Duration::from_millis(50))
        .build()
}

/// The driver stops reading while its buffer of rows is full, so the next statement would wait as
/// long.
#[tokio::test]
async fn connection_with_unread_rows_is_closed() {
    const ROWS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, $1::int)";

    let cluster = cluster().await;
    let pool = pool_with_short_settle_timeout(&cluster);
    for rows in [1, 10, 20, 30, 100, 1000_i32] {
        let connection = pool.get().await.unwrap();
        let untaken = connection.query_raw(ROWS, [rows]).await.unwrap();
        drop(connection);
        let connection = pool.get().await.unwrap();
        let query = connection.query("SELECT 1", &[]);
        assert_eq!(
            timeout(Duration::from_secs(60), query)
                .await
                .unwrap()
                .unwrap()
                .len(),
            1
        );
        drop(untaken);
    }
}

/// The rows arrive after the check on return. The buffer is then full and is not read, so the end
/// of the reply cannot be read either.
#[tokio::test]
async fn rows_that_arrive_after_the_return_do_not_block_checkouts() {
    const LATE: &str = "SELECT repeat('x', 1000), CASE WHEN g = 12 THEN pg_sleep(0.05)::text END \
                        FROM generate_series(1, $1::int) g";
    let cluster = cluster().await;
    for rows in 12..28_i32 {
        let pool = builder(config(&cluster))
            .max_size(1)
            .settle_timeout(Duration::from_millis(200))
            .build();
        let connection = pool.get().await.unwrap();
        let untaken = connection.query_raw(LATE, [rows]).await.unwrap();
        drop(connection);

        let connection = pool.get().await.unwrap();
        timeout(Duration::from_secs(30), connection.query("SELECT 1", &[]))
            .await
            .unwrap_or_else(|_| panic!("blocked behind {rows} rows"))
            .unwrap();
        drop(untaken);
    }
}

#[tokio::test]
async fn connection_whose_rows_are_read_after_return_is_kept() {
    let cluster = cluster().await;
    let settle_timeout = Duration::from_millis(10);
    let pool = builder(config(&cluster))
        .max_size(5)
        .settle_timeout(settle_timeout)
        .build();
    let rows = {
        let connection = pool.get().await.unwrap();
        connection.query_raw(ROWS, [0_i32; 0]).await.unwrap()
    };
    pin_mut!(rows);
    let mut read = 0;
    while rows.try_next().await.unwrap().is_some() {
        read += 1;
        if read % 4_000 == 1 {
            select(&pool).await;
        }
    }
    assert_eq!(read, 20_000);
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
    // Both connections are checked out again.
    let both = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(both);
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
}

/// Polls a checkout until it waits in the queue.
async fn queued(
    cluster: &LocalCluster,
    pool: &Pool,
    get: Pin<&mut impl Future<Output = Result<PooledConnection, Error>>>,
) {
    tokio::select! {
        biased;
        _ = get => panic!("the rows are unread"),
        () = until(cluster, |_| pool.stats().waiting == 1) => {}
    }
}

#[tokio::test]
async fn returned_connection_saves_the_rows_of_another() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster))
        .max_size(2)
        .settle_timeout(Duration::from_secs(10))
        .build();
    let used = pool.get().await.unwrap();
    let rows = {
        let connection = pool.get().await.unwrap();
        connection.query_raw(ROWS, [0_i32; 0]).await.unwrap()
    };
    let get = pool.get();
    pin_mut!(get);
    queued(&cluster, &pool, get.as_mut()).await;
    drop(used);
    drop(get.await.unwrap());
    let rows: Vec<_> = rows.try_collect().await.unwrap();
    assert_eq!(rows.len(), 20_000);
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
}

#[tokio::test]
async fn checkout_behind_one_that_waits_for_rows_is_served() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 3);
    let rows = {
        let connection = pool.get().await.unwrap();
        connection.query_raw(ROWS, [0_i32; 0]).await.unwrap()
    };
    let first = pool.get();
    pin_mut!(first);
    queued(&cluster, &pool, first.as_mut()).await;
    // The first takes what the second opens, which then opens another one.
    let both = join(first, pool.get()).await;
    assert!(both.0.is_ok() && both.1.is_ok());
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 3));
    drop(rows);
}
