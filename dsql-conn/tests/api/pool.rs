//! Lending connections: for nothing when warm, in the order in which they were asked for, until the
//! pool closes.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_async::time::TimeSource;
use dsql_conn::tokio_postgres::Client;
use dsql_conn::{Config, ConnectionManager, Error, Pool, bb8};
use dsql_local::{Fault, Refusal};
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::support::{builder, clocked_pool, cluster, config, flights, pool, until};

#[tokio::test]
async fn a_checkout_after_a_query_costs_no_round_trip() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..10 {
        let connection = pool.get().await.unwrap();
        // The driver's own: prepared each time, and forgotten in a flight of its own.
        Client::query(&connection, "SELECT 1", &[]).await.unwrap();
    }
    assert_eq!(flights(&cluster), ["PDS", "BES"].repeat(10));
}

#[tokio::test]
async fn a_plain_query_costs_one_round_trip_once_it_is_warm() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..10 {
        pool.get()
            .await
            .unwrap()
            .query("SELECT 1", &[])
            .await
            .unwrap();
    }
    let expected = [&["PDS"][..], &["BES"; 10]].concat();
    assert_eq!(flights(&cluster), expected);
}

#[tokio::test]
async fn a_warm_transaction_of_one_statement_costs_two_round_trips() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..3 {
        let one: i32 = pool
            .transaction(async |tx| Ok(tx.query_one("SELECT 1", &[]).await?.get(0)))
            .await
            .unwrap();
        assert_eq!(one, 1);
    }
    // BEGIN is in the flight of the first statement: to be prepared, and then to be run.
    let expected = ["PBDEPDS", "BES", "Q", "PBDEBES", "Q", "PBDEBES", "Q"];
    assert_eq!(flights(&cluster), expected);
}

#[tokio::test]
async fn durations_without_bound_are_bounded() {
    let cluster = cluster().await;
    let config = config(&cluster)
        .connect_timeout(Duration::MAX)
        .statement_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX);
    let pool = Pool::builder(config)
        .checkout_timeout(Duration::MAX)
        .ping_after(Duration::MAX)
        .ping_timeout(Duration::MAX)
        .hedge_delay(Duration::MAX)
        .settle_timeout(Duration::MAX)
        .idle_timeout(Duration::ZERO)
        .build();
    for _ in 0..2 {
        pool.get()
            .await
            .unwrap()
            .query("SELECT 1", &[])
            .await
            .unwrap();
    }
}

#[test]
fn statistics_need_no_runtime() {
    let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
    let pool = Pool::new(Config::new(endpoint.parse().unwrap()));
    assert_eq!(pool.stats().connections, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_closes_while_it_dials_waits_for_nothing() {
    let cluster = cluster().await;
    for _ in 0..100 {
        let pool = pool(&cluster, 1);
        let asking = tokio::spawn({
            let pool = pool.clone();
            async move { drop(pool.get().await) }
        });
        let opened = cluster.counts().logins;
        until(&cluster, |counts| {
            counts.logins > opened || asking.is_finished()
        })
        .await;
        assert_eq!(pool.close(Duration::from_secs(60)).await, 0);
        asking.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_tasks_share_ten_connections_fairly() {
    const TASKS: usize = 64;
    const SHARE: usize = 20;

    let cluster = cluster().await;
    let pool = pool(&cluster, 10);
    let left = Arc::new(tokio::sync::Semaphore::new(TASKS * SHARE));
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

#[tokio::test]
async fn a_closed_pool_tells_everyone_and_waits_for_what_is_lent() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 2);
    let lent = pool.get().await.unwrap();
    drop(pool.get().await.unwrap());

    let mut closing = Box::pin(pool.close(Duration::from_secs(60)));
    assert!((&mut closing).now_or_never().is_none());
    assert!(matches!(pool.get().await, Err(Error::PoolClosed)));
    lent.batch_execute("SELECT 1").await.unwrap();
    drop(lent);
    assert_eq!(closing.await, 0);
    until(&cluster, |counts| counts.open == 0).await;
    for connection in cluster.connections() {
        assert_eq!(connection.flights.last().map(String::as_str), Some("X"));
    }
}

#[tokio::test]
async fn what_is_still_lent_at_the_end_of_patience_is_cut() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let lent = pool.get().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert_eq!(pool.close(Duration::from_millis(10)).await, 1);
    assert!(matches!(waiting.await.unwrap(), Err(Error::PoolClosed)));
    assert!(lent.batch_execute("SELECT 1").await.is_err());
    until(&cluster, |counts| counts.open == 0).await;
}

#[tokio::test]
async fn a_deadline_that_has_passed_still_takes_an_idle_connection() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let lent = pool.get().await.unwrap();
    let error = pool.get_until(clock.now()).await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { cause: None, .. }));
    drop(lent);
    pool.get_until(clock.now()).await.unwrap();
}

#[tokio::test]
async fn the_manager_serves_a_bb8_pool() {
    let cluster = cluster().await;
    let manager = ConnectionManager::new(config(&cluster));
    let pool = bb8::Pool::builder()
        .max_size(2)
        .build(manager)
        .await
        .unwrap();
    let connection = pool.get().await.unwrap();
    let row = connection.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn idle_connections_are_kept_ready() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(5).min_idle(3).build();
    let lent = pool.get().await.unwrap();
    while pool.stats().idle < 3 {
        tokio::task::yield_now().await;
    }
    drop(lent);
    assert!(cluster.counts().logins >= 4);
}

#[tokio::test]
async fn the_statistics_tell_how_the_pool_stands() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 3);
    assert_eq!((pool.stats().connections, pool.stats().max_size), (0, 3));
    cluster.inject(Fault::refuse(Refusal::NoSni));
    pool.get().await.unwrap_err();
    let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(one);
    let stats = pool.stats();
    assert_eq!((stats.connections, stats.idle), (2, 1));
    assert_eq!((stats.opened, stats.failed, stats.closed), (2, 1, 0));
    two.batch_execute("BEGIN").await.unwrap();
    drop(two);
    drop((pool.get().await.unwrap(), pool.get().await.unwrap()));
    assert_eq!(pool.stats().closed, 1);
}

#[tokio::test]
async fn equal_configurations_share_a_pool_and_others_do_not() {
    let cluster = cluster().await;
    let config = config(&cluster);
    let pool = Pool::shared(config.clone());
    drop(pool.get().await.unwrap());
    drop(Pool::shared(config.clone()).get().await.unwrap());
    assert_eq!(cluster.counts().logins, 1);

    drop(
        Pool::shared(config.clone().search_path("games"))
            .get()
            .await
            .unwrap(),
    );
    assert_eq!(cluster.counts().logins, 2);
    pool.close(Duration::from_secs(60)).await;
    drop(Pool::shared(config).get().await.unwrap());
    assert_eq!(cluster.counts().logins, 3);
}

#[tokio::test]
async fn a_shared_pool_that_could_not_connect_tries_again() {
    let cluster = cluster().await;
    let config = config(&cluster);
    cluster.inject(Fault::refuse(Refusal::NoSni));
    Pool::shared(config.clone()).get().await.unwrap_err();
    Pool::shared(config).get().await.unwrap();
}
