//! A ping whose reply is late: the pool opens another connection meanwhile.

use std::time::Duration;

use dsql_conn::{Discard, Pool};
use dsql_local::{Direction, Effect, Fault, LocalCluster, Stage};
use futures_util::{FutureExt, pin_mut};

use crate::support::{Clock, cluster, config, until};

/// A Lambda function's pool with one connection, after a freeze of ten minutes.
async fn thawed(cluster: &LocalCluster, hedge_delay: Duration) -> Pool {
    let clock = Clock::default();
    let minute = Duration::from_secs(60);
    let pool = Pool::lambda(config(cluster).time_source(clock.clone()))
        .checkout_timeout(minute)
        .ping_timeout(minute)
        .hedge_delay(hedge_delay)
        .build();
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    drop(connection);
    clock.advance(10 * minute);
    cluster.clock().advance(10 * minute);
    pool
}

#[tokio::test]
async fn dead_network_after_a_freeze_costs_one_connect() {
    let cluster = cluster().await;
    // The ping itself would time out only after a minute.
    let pool = thawed(&cluster, Duration::from_millis(20)).await;
    cluster.black_hole_all();
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    drop(connection);
    let stats = pool.stats();
    assert_eq!((stats.connections, stats.idle, stats.opening), (1, 1, 0));
    assert_eq!(stats.closed_by.count(Discard::Unresponsive), 1);
    assert_eq!((stats.closed, cluster.counts().accepted), (1, 2));
    // The new connection serves the next call as well.
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().accepted, 2);
}

#[tokio::test]
async fn late_ping_keeps_its_connection_and_ends_the_opening() {
    let cluster = cluster().await;
    let pool = thawed(&cluster, Duration::ZERO).await;
    cluster.inject(Fault::delay(
        Direction::ToClient,
        Duration::from_millis(300),
    ));
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    until(&cluster, |_| pool.stats().opening == 0).await;
    drop(connection);
    let (stats, counts) = (pool.stats(), cluster.counts());
    assert_eq!(
        (counts.accepted, counts.logins),
        (2, 1),
        "one was tried beside it"
    );
    assert_eq!((stats.connections, stats.idle, stats.closed), (1, 1, 0));
    // The extra slot is free again: the pool is not over its size.
    drop(pool.get().await.unwrap());
    assert_eq!((pool.stats().closed, cluster.counts().accepted), (0, 2));
}

#[tokio::test]
async fn ping_answered_at_once_opens_nothing() {
    let cluster = cluster().await;
    let pool = thawed(&cluster, Duration::from_secs(60)).await;
    drop(pool.get().await.unwrap());
    assert_eq!((pool.stats().closed, cluster.counts().accepted), (0, 1));
}

#[tokio::test]
async fn cancelled_checkout_leaves_one_connection() {
    let cluster = cluster().await;
    let pool = thawed(&cluster, Duration::ZERO).await;
    cluster.black_hole_all();
    {
        let get = pool.get();
        pin_mut!(get);
        tokio::select! {
            _ = &mut get => panic!("nothing answers"),
            () = until(&cluster, |counts| counts.accepted == 2) => {}
        }
        assert!(get.now_or_never().is_none());
    }
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert!(pool.stats().connections <= 2);
    drop(connection);
    until(&cluster, |_| {
        pool.stats().connections == 1 && pool.stats().opening == 0
    })
    .await;
}
