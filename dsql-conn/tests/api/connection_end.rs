//! Dropping a connection, and noticing that the server ended one.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::{io, thread};

use futures_util::pin_mut;
use tokio::runtime::Builder;
use tokio::task::yield_now;

use crate::support::{builder, cluster, config, ends_arrive, until};

/// A driver without a client would wait for the pending reply.
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

/// The runtime finds both in one batch: the end of the idle connection, and the packet that wakes
/// the checkout.
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
            // The connection task becomes idle after the return.
            for _ in 0..10 {
                yield_now().await;
            }

            carried.recv().unwrap().shutdown(Shutdown::Both).unwrap();
            ends_arrive(port).await;
            let connection = pool.get().await.unwrap();
            connection.query_one("SELECT 1", &[]).await.unwrap();
        });
    }
}

/// Relays connections to the cluster. The receiver yields the client's side of each.
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
