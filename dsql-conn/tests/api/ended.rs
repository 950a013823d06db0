//! A body that ends its transaction itself, or may have: never run again, never called rolled back.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;
use std::{io, thread};

use dsql_conn::{Error, RetryPolicy, Transaction};
use dsql_local::{Direction, Effect, Fault, Refusal, Stage};
use futures_util::pin_mut;
use tokio::runtime::Builder;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::support::{builder, cluster, cluster_with_pool, config, next_packet, notes, until};

#[tokio::test]
async fn a_body_that_ends_its_transaction_is_told_so() {
    for statement in ["COMMIT", "ROLLBACK"] {
        let (_cluster, pool) = cluster_with_pool().await;
        let error = pool
            .transaction(async |tx| {
                tx.batch_execute(statement).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TransactionEnded), "{error}");
    }
}

#[tokio::test]
async fn what_the_body_committed_itself_is_not_run_again_after_a_conflict() {
    for next in ["SELECT 1", "BEGIN"] {
        let (cluster, pool) = cluster_with_pool().await;
        let runs = AtomicU32::new(0);
        let error = pool
            .transaction(async |tx| {
                let run = runs.fetch_add(1, Ordering::SeqCst).to_string();
                tx.execute("INSERT INTO note VALUES ($1)", &[&run]).await?;
                tx.batch_execute("COMMIT").await?;
                let conflict = Effect::Refuse(Refusal::Conflict);
                cluster.inject(Fault::at(Stage::Statement, conflict));
                tx.batch_execute(next).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TransactionEnded), "{error}");
        assert_eq!(notes(&cluster).await, 1);
    }
}

#[tokio::test]
async fn what_the_body_may_have_committed_is_not_run_again_when_its_connection_is_lost() {
    for commit in ["COMMIT", "SELECT 1; end", "/* now */ COMMIT"] {
        let (cluster, pool) = cluster_with_pool().await;
        cluster.inject(Fault::lose_commit_reply());
        let runs = AtomicU32::new(0);
        let error = pool
            .transaction(async |tx| {
                runs.fetch_add(1, Ordering::SeqCst);
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                tx.batch_execute(commit).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::TransactionEnded),
            "{commit}: {error}"
        );
        assert!(error.may_have_applied());
        assert_eq!(runs.into_inner(), 1, "{commit}");
        assert_eq!(notes(&cluster).await, 1, "{commit}");
    }
}

#[tokio::test]
async fn a_commit_that_begins_the_next_transaction_is_noticed() {
    for commit in ["COMMIT; BEGIN", "COMMIT AND CHAIN", "ROLLBACK; BEGIN"] {
        let (cluster, pool) = cluster_with_pool().await;
        let runs = AtomicU32::new(0);
        let result = pool
            .transaction(async |tx: Transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                tx.batch_execute(commit).await?;
                cluster.inject(Fault::conflict_commits(1));
                tx.execute("INSERT INTO note VALUES ('two')", &[]).await?;
                Ok(())
            })
            .await;
        let is_told = matches!(result, Err(Error::TransactionEnded));
        assert!(is_told, "{commit}: {result:?}");
        assert_eq!(runs.into_inner(), 1, "{commit}");
    }
}

#[tokio::test]
async fn what_was_committed_behind_a_rollback_is_not_run_again_when_its_answer_is_lost() {
    let (cluster, pool) = cluster_with_pool().await;
    let runs = AtomicU32::new(0);
    let result: Result<(), Error> = pool
        .transaction(async |tx: Transaction| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("SELECT 1", &[]).await?;
            let write = format!("ROLLBACK; INSERT INTO note VALUES ('of run {run}')");
            cluster.inject(Fault::delay(Direction::ToClient, Duration::from_secs(3600)));
            let cut = async {
                while notes(&cluster).await == 0 {
                    yield_now().await;
                }
                cluster.clear_faults();
                cluster.cut_all();
            };
            let (result, ()) = tokio::join!(tx.batch_execute(&write), cut);
            result
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
    assert_eq!(runs.into_inner(), 1);
}

#[tokio::test]
async fn a_commit_that_the_body_gave_up_is_no_rollback() {
    let (cluster, _) = cluster_with_pool().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::from_millis(100))
        .build();
    cluster.inject(Fault::at(Stage::Committed, Effect::Stall));
    let result: Result<(), Error> = pool
        .transaction(async |tx: Transaction| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            let _ = timeout(Duration::from_secs(1), tx.batch_execute("COMMIT")).await;
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
}

#[tokio::test]
async fn a_commit_of_the_body_that_is_out_of_time_is_no_rollback() {
    let (cluster, pool) = cluster_with_pool().await;
    cluster.inject(Fault::at(Stage::Committed, Effect::Stall));
    let policy = RetryPolicy::new().timeout(Duration::from_secs(2));
    let result: Result<(), Error> = pool
        .transaction_with(policy, async |tx: Transaction| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            tx.batch_execute("COMMIT").await
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
}

#[tokio::test]
async fn a_handle_that_escapes_after_the_bodys_own_commit_does_not_hide_it() {
    let (cluster, pool) = cluster_with_pool().await;
    let kept = Mutex::new(None);
    let result = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            tx.batch_execute("COMMIT").await?;
            *kept.lock().unwrap() = Some(tx);
            Ok(())
        })
        .await;
    assert!(matches!(result, Err(Error::TransactionEnded)), "{result:?}");
    assert_eq!(notes(&cluster).await, 1);
}

/// A driver whose client is gone would wait for the answer that is due.
#[tokio::test]
async fn dropping_during_a_query_closes_the_socket() {
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
async fn dropping_an_idle_connection_sends_terminate() {
    let cluster = cluster().await;
    let connection = config(&cluster).connect().await.unwrap();
    connection.query("SELECT 1", &[]).await.unwrap();
    drop(connection);
    until(&cluster, |counts| counts.open == 0).await;
    let connections = cluster.connections();
    assert_eq!(connections[0].flights.last().map(String::as_str), Some("X"));
}

/// Both wait in one batch for the runtime: the end of the idle connection, and the request that
/// asks for it.
#[test]
fn end_that_arrives_with_a_checkout_is_noticed_first() {
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
