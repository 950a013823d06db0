//! A ping whose reply is late: the pool opens another connection meanwhile.

use std::time::Duration;

use dsql_conn::{Discard, Pool};
use dsql_local::{Direction, Effect, Fault, LocalCluster, Stage};
use futures_util::future::join_all;
use futures_util::{FutureExt, join, pin_mut};

use crate::support::{Clock, builder, cluster, config, select, until};

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
    assert_eq!(
        stats.failed, 0,
        "an opening that is not needed has not failed"
    );
    // The extra slot is free again: the pool is not over its size.
    drop(pool.get().await.unwrap());
    assert_eq!((pool.stats().closed, cluster.counts().accepted), (0, 2));
}

/// A pool that was idle for so long that each of its connections needs a ping. Another connection
/// is opened at once beside a ping, but its opening stalls.
async fn rested(cluster: &LocalCluster, size: u32) -> Pool {
    let clock = Clock::default();
    let pool = builder(config(cluster).time_source(clock.clone()))
        .max_size(size)
        .hedge_delay(Duration::ZERO)
        .build();
    drop(join_all((0..size).map(|_| pool.get())).await);
    assert_eq!(pool.stats().idle, size);
    clock.advance(Duration::from_secs(31));
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall).always());
    pool
}

#[tokio::test]
async fn late_pings_of_several_checkouts_close_nothing() {
    let cluster = cluster().await;
    let pool = rested(&cluster, 3).await;
    cluster.inject(Fault::delay(Direction::ToClient, Duration::from_millis(300)).always());
    let (one, other) = join!(pool.get(), pool.get());
    drop((one.unwrap(), other.unwrap()));
    let stats = pool.stats();
    assert_eq!((stats.closed, stats.failed, stats.idle), (0, 0, 3));
    assert_eq!(cluster.counts().logins, 3);
}

#[tokio::test]
async fn returned_connection_does_not_condemn_a_late_ping() {
    let cluster = cluster().await;
    let pool = rested(&cluster, 2).await;
    cluster.inject(Fault::delay(Direction::ToClient, Duration::from_millis(300)).always());
    let used = pool.get().await.unwrap();
    {
        let get = pool.get();
        pin_mut!(get);
        tokio::select! {
            biased;
            _ = &mut get => panic!("its ping is late"),
            () = until(&cluster, |counts| counts.accepted == 4) => {}
        }
        drop(used);
        get.await.unwrap();
    }
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
    // The connection with the late ping is checked out again.
    let both = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(both);
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
    select(&pool).await;
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
