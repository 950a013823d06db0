//! Expired and idle connections, and freezes, by a clock that the test moves: which are pinged,
//! replaced or checked out unchanged.

use std::time::Duration;

use aws_smithy_async::time::TimeSource;
use dsql_conn::Pool;
use dsql_local::{Effect, Fault, Stage};
use futures_util::future::join_all;
use futures_util::{FutureExt, pin_mut};

use crate::support::{Clock, builder, clocked_pool, cluster, config, flights, pool, until};

#[tokio::test]
async fn expired_connection_is_replaced_at_checkout() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let connection = pool.get().await.unwrap();

    let lifetime = connection.expires_at().duration_since(clock.now()).unwrap();
    assert!(lifetime >= Duration::from_secs(44 * 60) && lifetime <= Duration::from_secs(55 * 60));
    drop(connection);

    clock.advance(lifetime - Duration::from_secs(61));
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 1);
    clock.advance(Duration::from_secs(61));
    cluster.clock().advance(lifetime);
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn connection_returned_near_expiry_is_replaced_in_background() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let connection = pool.get().await.unwrap();
    let lifetime = connection.expires_at().duration_since(clock.now()).unwrap();
    clock.advance(lifetime - Duration::from_secs(59));
    cluster.clock().advance(lifetime);
    drop(connection);
    // No checkout is needed.
    until(&cluster, |counts| counts.logins == 2 && counts.open == 1).await;
    until(&cluster, |_| pool.stats().idle == 1).await;
    assert!(pool.get().now_or_never().is_some_and(|held| held.is_ok()));
    assert_eq!(pool.stats().opened, 2);
}

#[tokio::test]
async fn clock_that_steps_back_does_not_extend_a_lifetime() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    drop(pool.get().await.unwrap());
    clock.step_back(Duration::from_secs(1));
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn lifetimes_are_spread() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 20);
    let connections = join_all((0..20).map(|_| pool.get())).await;
    let mut ends: Vec<_> = connections
        .iter()
        .map(|connection| connection.as_ref().unwrap().expires_at())
        .collect();
    ends.sort_unstable();
    let spread = ends[19].duration_since(ends[0]).unwrap();
    assert!(spread > Duration::from_secs(60), "{spread:?}");
}

#[tokio::test]
async fn connection_idle_for_long_is_pinged() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    drop(pool.get().await.unwrap());
    clock.advance(Duration::from_secs(31));
    drop(pool.get().await.unwrap());
    drop(pool.get().await.unwrap());
    assert_eq!(flights(&cluster), ["Q"]);
}

#[tokio::test]
async fn connection_that_died_unnoticed_is_replaced() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster).time_source(clock.clone());
    let pool = builder(config)
        .max_size(1)
        .ping_timeout(Duration::from_millis(200))
        .build();
    drop(pool.get().await.unwrap());
    cluster.black_hole_all();
    clock.advance(Duration::from_secs(600));
    cluster.clock().advance(Duration::from_secs(600));
    pool.get()
        .await
        .unwrap()
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn failed_ping_after_a_freeze_makes_the_others_ping() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster).time_source(clock.clone());
    let pool = builder(config)
        .max_size(5)
        .ping_timeout(Duration::from_millis(200))
        .build();
    drop(join_all((0..5).map(|_| pool.get())).await);
    cluster.inject(Fault::at(Stage::Statement, Effect::Stall).always());
    clock.advance(Duration::from_secs(600));
    cluster.clock().advance(Duration::from_secs(600));

    let connection = pool.get().await.unwrap();
    until(&cluster, |counts| counts.logins == 6).await;
    assert_eq!(pool.stats().closed, 5);
    let connections = cluster.connections();
    let is_pinged = |flights: &[String]| flights.iter().any(|flight| flight == "Q");
    let pinged = connections
        .iter()
        .filter(|connection| is_pinged(&connection.flights));
    assert_eq!(pinged.count(), 1);
    drop(connection);
}

#[tokio::test]
async fn checkout_cancelled_during_its_ping_does_not_count_as_reply() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster).time_source(clock.clone());
    let pool = builder(config)
        .max_size(1)
        .settle_timeout(Duration::from_millis(50))
        .build();
    drop(pool.get().await.unwrap());
    cluster.black_hole_all();
    clock.advance(Duration::from_secs(600));
    cluster.clock().advance(Duration::from_secs(600));
    let given_up = tokio::time::timeout(Duration::from_millis(50), pool.get()).await;
    assert!(given_up.is_err());
    pool.get()
        .await
        .unwrap()
        .query("SELECT 1", &[])
        .await
        .unwrap();
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn unused_connection_held_through_a_freeze_is_pinged() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let held = pool.get().await.unwrap();
    clock.advance(Duration::from_secs(600));
    drop(held);
    drop(pool.get().await.unwrap());
    assert_eq!(flights(&cluster), ["Q"]);
}

#[tokio::test]
async fn lambda_pool_keeps_its_connection() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::lambda(config(&cluster).time_source(clock.clone()))
        .hedge_delay(Duration::from_secs(60))
        .build();
    assert_eq!(pool.stats().max_size, 1);
    for _ in 0..3 {
        drop(pool.get().await.unwrap());
        clock.advance(Duration::from_secs(900));
    }
    assert_eq!(flights(&cluster), ["Q", "Q"]);
}

#[tokio::test]
async fn used_connection_held_through_a_freeze_is_pinged() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    clock.advance(Duration::from_secs(600));
    cluster.clock().advance(Duration::from_secs(600));
    drop(connection);
    drop(pool.get().await.unwrap());
    assert_eq!(flights(&cluster).concat(), "QQ");
}

#[tokio::test]
async fn waiters_that_replaced_the_expired_leave_no_successors() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    for _ in 0..3 {
        let connection = pool.get().await.unwrap();
        let get = pool.get();
        pin_mut!(get);
        assert!(get.as_mut().now_or_never().is_none());
        let hour = Duration::from_secs(3_600);
        clock.advance(hour);
        cluster.clock().advance(hour);
        drop(connection);
        drop(get.await.unwrap());
    }
    assert_eq!(pool.stats().opened, 4);
    // Longer than it may be idle, and younger than its lifetime.
    clock.advance(Duration::from_secs(1_200));
    until(&cluster, |_| pool.stats().connections == 0).await;
    assert_eq!((pool.stats().opening, pool.stats().opened), (0, 4));
}
