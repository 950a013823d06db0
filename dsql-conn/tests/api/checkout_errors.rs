//! Checkouts that fail: which error the caller gets, and when.

use std::io;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dsql_conn::{Config, Error, Pool, PooledConnection, Reason};
use dsql_local::LocalCluster;
use futures_util::FutureExt;
use tokio::time::{advance, pause, sleep};

use crate::support::{builder, cluster, config, credentials, pool};

/// A port on which nothing listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn known_cause_is_returned_after_one_connect_timeout() {
    let cluster = cluster().await;
    let closed = config(&cluster)
        .port(closed_port())
        .connect_timeout(Duration::from_millis(200));
    // A longer wait would end with a checkout timeout instead.
    for builder in [Pool::builder(closed.clone()), Pool::lambda(closed)] {
        let pool = builder.checkout_timeout(Duration::from_secs(20)).build();
        for _ in 0..2 {
            let error = pool.get().await.unwrap_err();
            assert!(matches!(error, Error::Connect(_)), "{error}");
            assert_eq!(error.reason(), Some(Reason::Unreachable), "{error}");
        }
    }
}

#[tokio::test]
async fn checkout_that_waits_for_anothers_opening_gets_its_cause() {
    let cluster = cluster().await;
    let closed = config(&cluster)
        .port(closed_port())
        .connect_timeout(Duration::from_millis(200));
    let pool = Pool::builder(closed).max_size(1).build();
    let (first, second) = tokio::join!(pool.get(), pool.get());
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(matches!(error, Error::Connect(_)), "{error}");
    }
}

#[tokio::test]
async fn timeout_with_all_in_use_has_no_cause() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    let error = pool.get_until(std::time::UNIX_EPOCH).await.unwrap_err();
    assert_eq!((pool.stats().idle, pool.stats().in_use), (0, 1));
    assert!(matches!(error, Error::CheckoutTimeout { cause: None, .. }));
    assert!(!error.to_string().contains("idle"), "{error}");
    drop(connection);
    assert_eq!((pool.stats().idle, pool.stats().in_use), (1, 0));
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// A pool with one connection in use. From now on, name servers do not answer.
async fn pool_without_name_server(
    cluster: &LocalCluster,
    max_size: u32,
) -> (Pool, PooledConnection) {
    let is_up = Arc::new(AtomicBool::new(true));
    let (resolver, address) = (Arc::clone(&is_up), cluster.address());
    let endpoint = cluster.endpoint().parse().unwrap();
    let config = Config::new(endpoint)
        .resolver(move |_, _| {
            let is_up = resolver.load(Ordering::SeqCst);
            async move {
                match is_up {
                    true => Ok(vec![address]),
                    false => Err(io::ErrorKind::TimedOut.into()),
                }
            }
        })
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()))
        .connect_timeout(CONNECT_TIMEOUT);
    let pool = builder(config)
        .max_size(max_size)
        .checkout_timeout(Duration::from_secs(24 * 3_600))
        .build();
    let connection = pool.get().await.unwrap();
    is_up.store(false, Ordering::SeqCst);
    (pool, connection)
}

#[tokio::test]
async fn known_cause_is_returned_before_a_late_opening_ends() {
    let cluster = cluster().await;
    let (pool, connection) = pool_without_name_server(&cluster, 1).await;
    connection.batch_execute("BEGIN").await.unwrap();
    pause();
    let mut checkout = pin!(pool.get());
    assert!(checkout.as_mut().now_or_never().is_none());
    advance(CONNECT_TIMEOUT * 9 / 10).await;
    assert!(checkout.as_mut().now_or_never().is_none());
    // The checkout closes it because of its transaction, and opens another one only now.
    drop(connection);
    let error = checkout.await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    assert_eq!(error.reason(), Some(Reason::NameServer), "{error}");
    assert_eq!((pool.stats().opening, pool.stats().failed), (1, 0));
}

#[tokio::test]
async fn known_cause_fails_no_waiter_while_a_connection_is_in_use() {
    let cluster = cluster().await;
    let (pool, connection) = pool_without_name_server(&cluster, 2).await;
    pause();
    let mut checkout = pin!(pool.get());
    tokio::select! {
        result = &mut checkout => panic!("{result:?}"),
        () = sleep(3 * CONNECT_TIMEOUT) => {}
    }
    assert!(pool.stats().failed > 0);
    drop(connection);
    checkout.await.unwrap();
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn attempts_of_every_opening_of_a_checkout_are_counted() {
    let cluster = cluster().await;
    let (has_answered, address) = (AtomicBool::new(false), cluster.address());
    let config = Config::new(cluster.endpoint().parse().unwrap())
        .resolver(move |_, _| {
            let is_first = !has_answered.swap(true, Ordering::SeqCst);
            async move {
                match is_first {
                    true => Ok(vec![address]),
                    false => Err(io::ErrorKind::TimedOut.into()),
                }
            }
        })
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()));
    // The first connection has enough time; the next openings end after an attempt or two.
    let pool = builder(config.connect_timeout(Duration::from_secs(1)))
        .max_size(2)
        .checkout_timeout(Duration::from_secs(8))
        .build();
    let _in_use = pool.get().await.unwrap();

    let error = pool.get().await.unwrap_err();

    let failed = pool.stats().failed;
    assert!(failed > 1, "{:?}", pool.stats());
    let cause = error.connect_error().unwrap();
    // An opening makes several attempts within its second.
    assert!(u64::from(cause.attempts()) > failed, "{error}");
    let tried = format!("tried {} times", cause.attempts());
    assert!(error.to_string().contains(&tried), "{error}");
}
