//! Connections and openings that end unexpectedly are replaced.

use std::thread;
use std::time::Duration;

use dsql_conn::Discard;
use dsql_local::{Effect, Fault, Stage};
use futures_util::{FutureExt, pin_mut};
use tokio::runtime;
use tokio::task::yield_now;

use crate::support::{Clock, builder, cluster, config, select, until};

#[tokio::test]
async fn dead_connection_dropped_on_a_plain_thread_is_replaced() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(1).min_idle(1).build();
    for round in 1..=3 {
        let connection = pool.get().await.unwrap();
        cluster.cut_all();
        while !connection.is_closed() {
            yield_now().await;
        }
        thread::spawn(move || drop(connection)).join().unwrap();
        assert_eq!(pool.stats().closed_by.count(Discard::Closed), round);
        select(&pool).await;
    }
    assert_eq!(pool.stats().connections, 1);
}

#[tokio::test]
async fn expired_connection_dropped_on_a_plain_thread_is_replaced() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster).time_source(clock.clone());
    let pool = builder(config).max_size(1).min_idle(1).build();
    for round in 1..=3 {
        let connection = pool.get().await.unwrap();
        let age = Duration::from_secs(3_600);
        clock.advance(age);
        cluster.clock().advance(age);
        thread::spawn(move || drop(connection)).join().unwrap();
        assert_eq!(pool.stats().closed_by.count(Discard::Expired), round);
        select(&pool).await;
    }
    assert_eq!(pool.stats().connections, 1);
}

#[tokio::test]
async fn idle_connections_that_the_network_cut_are_refilled() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(5).min_idle(3).build();
    drop(pool.get().await.unwrap());
    let is_filled = || pool.stats().idle >= 3 && pool.stats().opening == 0;
    until(&cluster, |_| is_filled()).await;
    let opened = pool.stats().opened;
    cluster.cut_all();
    // No checkout happens here.
    until(&cluster, |counts| {
        counts.cut == opened && pool.stats().closed == opened
    })
    .await;
    until(&cluster, |_| is_filled()).await;
    let stats = pool.stats();
    assert_eq!((stats.connections, stats.in_use), (3, 0));
    assert_eq!(stats.opened, opened + 3);
    assert_eq!(stats.closed_by.count(Discard::Closed), opened);
}

#[test]
fn runtime_that_ends_during_an_opening_frees_its_slot() {
    let far = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let cluster = far.block_on(cluster());
    let pool = builder(config(&cluster)).max_size(1).build();
    let stall = Fault::at(Stage::Startup, Effect::Stall);
    cluster.inject(stall.clone());
    let first = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    first.block_on(async {
        let get = pool.get();
        pin_mut!(get);
        assert!(get.as_mut().now_or_never().is_none());
        until(&cluster, |_| cluster.struck(&stall) == 1).await;
    });
    drop(first);
    assert_eq!((pool.stats().opening, pool.stats().failed), (0, 1));

    let second = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    second.block_on(select(&pool));
    assert_eq!(pool.stats().connections, 1);
}
