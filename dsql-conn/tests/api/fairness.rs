//! Checkouts are served in order, also while connections are being opened.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dsql_conn::{Error, PooledConnection};
use dsql_local::{Effect, Fault, LocalCluster, Stage};
use futures_util::future::join_all;
use futures_util::{FutureExt, pin_mut};
use tokio::sync::Semaphore;
use tokio::task::yield_now;

use crate::support::{builder, clocked_pool, cluster, config, pool, select};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_share_ten_connections_fairly() {
    const TASKS: usize = 64;
    const SHARE: usize = 20;

    let cluster = cluster().await;
    let pool = pool(&cluster, 10);
    let left = Arc::new(Semaphore::new(TASKS * SHARE));
    let start = Arc::new(tokio::sync::Barrier::new(TASKS));
    let tasks = (0..TASKS).map(|_| {
        let (pool, left, start) = (pool.clone(), Arc::clone(&left), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let mut served = 0;
            loop {
                let connection = pool.get().await.unwrap();
                let Ok(one) = left.try_acquire() else {
                    return served;
                };
                one.forget();
                connection.batch_execute("SELECT 1").await.unwrap();
                served += 1;
            }
        })
    });
    let served: Vec<usize> = join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(served.iter().sum::<usize>(), TASKS * SHARE);
    assert!(
        served
            .iter()
            .all(|served| (SHARE / 2..=SHARE * 2).contains(served)),
        "{served:?}"
    );
    assert!(cluster.counts().logins <= 10);
}

/// Four tasks share one connection while no other can be opened. Returns how often each was served.
async fn turns(cluster: &LocalCluster, max_size: u32, slow: Effect) -> Vec<usize> {
    const TASKS: usize = 4;
    let pool = builder(config(cluster)).max_size(max_size).build();
    select(&pool).await;
    cluster.inject(Fault::at(Stage::Accept, slow).always());
    let left = Arc::new(Semaphore::new(TASKS * SHARE));
    let tasks = (0..TASKS).map(|_| {
        let (pool, left) = (pool.clone(), Arc::clone(&left));
        tokio::spawn(async move {
            let mut served = 0;
            loop {
                let connection = pool.get().await.unwrap();
                let Ok(one) = left.try_acquire() else {
                    return served;
                };
                one.forget();
                connection.batch_execute("SELECT 1").await.unwrap();
                served += 1;
            }
        })
    });
    join_all(tasks)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

const SHARE: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_tasks_share_one_connection_beside_hanging_openings() {
    for max_size in [2, 4] {
        for slow in [Effect::Stall, Effect::Cut] {
            let cluster = cluster().await;
            let served = turns(&cluster, max_size, slow).await;
            let is_fair = |served: &usize| (SHARE / 2..=SHARE * 2).contains(served);
            assert!(served.iter().all(is_fair), "{max_size}: {served:?}");
        }
    }
}

#[tokio::test]
async fn returned_connection_goes_to_the_first_in_the_queue() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(2).build();
    let connection = pool.get().await.unwrap();
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall).always());
    let (first, second) = (pool.get(), pool.get());
    pin_mut!(first, second);
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    let third = pool.clone();
    drop(connection);
    // A new checkout must not overtake the waiters.
    let third = third.get();
    pin_mut!(third);
    assert!(third.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    let connection = first.await.unwrap();
    assert!(third.as_mut().now_or_never().is_none());
    drop(connection);
    assert!(third.as_mut().now_or_never().is_none());
    drop(second.await.unwrap());
    third.await.unwrap();
    assert_eq!(cluster.counts().logins, 1);
}

/// Awaits two checkouts, and returns the numbers of both in the order in which they were served.
async fn order_served(
    first: impl Future<Output = Result<PooledConnection, Error>>,
    second: impl Future<Output = Result<PooledConnection, Error>>,
) -> Vec<u32> {
    let served = Mutex::new(Vec::new());
    let note = |number| served.lock().unwrap().push(number);
    tokio::join!(async { drop((first.await.unwrap(), note(1))) }, async {
        drop((second.await.unwrap(), note(2)))
    },);
    served.into_inner().unwrap()
}

#[tokio::test]
async fn waiter_that_gets_a_slot_keeps_its_position() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    let (first, second) = (pool.get(), pool.get());
    pin_mut!(first, second);
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    cluster.cut_all();
    while !connection.is_closed() {
        yield_now().await;
    }
    // The first waiter gets the slot of the lost connection, and opens another one.
    drop(connection);
    assert_eq!(order_served(first, second).await, [1, 2]);
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn waiter_that_gets_an_expired_connection_keeps_its_position() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let connection = pool.get().await.unwrap();
    let (first, second) = (pool.get(), pool.get());
    pin_mut!(first, second);
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    // Handed to the first waiter. It expires before the waiter validates it, and its slot goes to
    // the second one.
    drop(connection);
    let age = Duration::from_secs(3_600);
    clock.advance(age);
    cluster.clock().advance(age);
    assert_eq!(order_served(first, second).await, [1, 2]);
    assert_eq!(cluster.counts().logins, 2);
}
