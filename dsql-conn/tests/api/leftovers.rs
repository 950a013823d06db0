//! What a borrower leaves behind never reaches the next one.

use std::future::pending;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;
use std::{io, thread};

use dsql_conn::bb8::{self, AddError};
use dsql_conn::{ConnectionManager, Error, Pool};
use dsql_local::{Effect, Fault, LocalCluster, Stage};
use futures_util::{FutureExt, SinkExt, pin_mut};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::support::{builder, cluster, config, next_packet, pool, until};

/// The wire calls this connection clean: `BEGIN` sits in the driver's queue when the connection
/// comes back.
#[tokio::test]
async fn a_begin_that_was_polled_once_and_dropped_does_not_swallow_the_next_insert() {
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
async fn a_transaction_left_open_is_not_lent() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    drop(connection);

    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn a_dropped_transaction_is_rolled_back_before_the_next_checkout() {
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
async fn a_query_that_was_dropped_does_not_answer_the_next_one() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for round in 0..50 {
        let connection = pool.get().await.unwrap();
        {
            let query = connection.query_one("SELECT 'the last borrower''s'", &[]);
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
async fn a_statement_that_still_runs_is_not_waited_for() {
    let cluster = cluster().await;
    let pool = impatient_pool(&cluster);
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
async fn a_statement_without_an_answer_makes_the_others_give_a_sign_of_life() {
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
    // The last one to come back is judged first.
    drop(second);
    drop(first);
    let answered = pool.get().await.unwrap();
    answered.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(cluster.counts().logins, 3);
}

#[tokio::test]
async fn a_copy_in_that_was_finished_leaves_a_clean_connection() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let copy = connection.copy_in::<_, bytes::Bytes>(COPY).await.unwrap();
    pin_mut!(copy);
    copy.send(bytes::Bytes::from_static(b"one\ntwo\n"))
        .await
        .unwrap();
    assert_eq!(copy.finish().await.unwrap(), 2);
    drop(connection);

    let connection = pool.get().await.unwrap();
    let rows = connection
        .query("SELECT text FROM note", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(cluster.counts().logins, 1, "on the same connection");
}

#[tokio::test]
async fn a_connection_whose_copy_in_goes_on_is_not_lent() {
    let cluster = cluster().await;
    let pool = impatient_pool(&cluster);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let copy = connection.copy_in::<_, bytes::Bytes>(COPY).await.unwrap();
    drop(connection);
    let connection = pool.get().await.unwrap();
    let rows = connection
        .query("SELECT text FROM note", &[])
        .await
        .unwrap();
    assert_eq!(rows.len(), 0);
    drop(copy);
}

/// A pool of one connection that waits but a moment for what was left running on it.
fn impatient_pool(cluster: &LocalCluster) -> Pool {
    builder(config(cluster))
        .max_size(1)
        .settle_timeout(Duration::from_millis(50))
        .build()
}

/// The driver stops to read while the rows that it has are not taken: the next statement would wait
/// for as long.
#[tokio::test]
async fn a_connection_whose_rows_nobody_takes_is_not_lent() {
    const ROWS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, $1::int)";

    let cluster = cluster().await;
    let pool = impatient_pool(&cluster);
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

/// The driver gives such a COPY up, and dies of the answers that it did not expect.
#[tokio::test]
async fn a_connection_whose_copy_failed_is_not_lent() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..50 {
        let connection = pool.get().await.unwrap();
        let copy = connection
            .copy_in::<_, bytes::Bytes>("COPY nothing FROM STDIN")
            .await;
        assert!(copy.is_err());
        drop(connection);
        pool.get()
            .await
            .unwrap()
            .query("SELECT 1", &[])
            .await
            .unwrap();
    }
}

/// A driver whose client is gone would wait for the answer that is due.
#[tokio::test]
async fn closing_in_the_middle_of_a_query_leaves_no_socket() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    {
        let query = connection.batch_execute("SELECT pg_sleep(3600)");
        let written = until(&cluster, |counts| counts.statements == 1);
        pin_mut!(query, written);
        let first = futures_util::future::select(query, written).await;
        assert!(matches!(first, futures_util::future::Either::Right(_)));
    }
    drop(connection);
    until(&cluster, |counts| counts.open == 0).await;
}

#[tokio::test]
async fn closing_an_idle_connection_says_farewell() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    connection.query("SELECT 1", &[]).await.unwrap();
    drop(connection);
    until(&cluster, |counts| counts.open == 0).await;
    let connections = cluster.connections();
    assert_eq!(connections[0].flights.last().map(String::as_str), Some("X"));
}

/// The rows come once the driver has had its turn for the return: the last of them, with the end of
/// the answer, finds no place with the one who does not take them.
#[tokio::test]
async fn rows_that_come_after_the_return_and_are_not_taken_do_not_block_the_next_loan() {
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
async fn a_connection_that_was_used_since_bb8_refused_it_is_judged_anew() {
    let cluster = cluster().await;
    let setup = config(&cluster).connect().await.unwrap();
    setup
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let manager = ConnectionManager::new(config(&cluster));
    let pool = bb8::Pool::builder().max_size(1).build_unchecked(manager);
    let spare = config(&cluster).connect().await.unwrap();
    spare.batch_execute("SELECT 1").await.unwrap();
    let full = config(&cluster).connect().await.unwrap();
    pool.add(full).unwrap();
    let Err(AddError::NoCapacity(spare)) = pool.add(spare) else {
        panic!("there was no capacity");
    };
    let lent = pool.get().await.unwrap();
    let row = lent
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    let end = format!("SELECT pg_terminate_backend({})", row.get::<_, i32>(0));
    cluster.query(&end).await.unwrap();
    while !lent.is_closed() {
        yield_now().await;
    }
    drop(lent);

    assert!(spare.batch_execute("BEGIN").now_or_never().is_none());
    assert!(pool.add(spare).is_ok());
    let next = pool.get().await.unwrap();
    next.execute("INSERT INTO note VALUES ('kept')", &[])
        .await
        .unwrap();
    let kept = cluster.query("SELECT count(*) FROM note").await.unwrap();
    assert_eq!(kept[0][0].as_deref(), Some("1"));
}

/// Both wait in one batch for the runtime: the end of the idle connection, and the request that
/// asks for it.
#[test]
fn an_end_that_is_heard_of_with_the_request_is_heard_of_first() {
    let mut far = Builder::new_multi_thread();
    let far = far.worker_threads(1).enable_all().build().unwrap();
    let cluster = far.block_on(cluster());
    let near = Builder::new_current_thread().enable_all().build().unwrap();
    for _ in 0..10 {
        let (port, carried) = relay(cluster.address());
        let config = config(&cluster).port(port);
        let pool = builder(config).max_size(1).build();
        near.block_on(async {
            let connection = pool.get().await.unwrap();
            connection.batch_execute("SELECT 1").await.unwrap();
            drop(connection);
            // The driver comes to rest after the return.
            for _ in 0..10 {
                yield_now().await;
            }

            carried.recv().unwrap().shutdown(Shutdown::Both).unwrap();
            next_packet().await;
            let connection = pool.get().await.unwrap();
            connection.query_one("SELECT 1", &[]).await.unwrap();
        });
    }
}

/// Carries connections to the cluster, and hands out the client's side of each.
fn relay(cluster: SocketAddr) -> (u16, mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, carried) = mpsc::channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(cluster).unwrap();
            for (mut from, mut to) in [(&client, &server), (&server, &client)]
                .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
            {
                thread::spawn(move || io::copy(&mut from, &mut to));
            }
            if sender.send(client).is_err() {
                return;
            }
        }
    });
    (port, carried)
}

const COPY: &str = "COPY note FROM STDIN";
