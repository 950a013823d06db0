//! Checkouts that fail: which error the caller gets, and when.

use std::net::TcpListener;
use std::time::Duration;

use dsql_conn::{Error, Pool, Reason};

use crate::support::{cluster, config, pool};

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
