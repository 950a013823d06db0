//! Checkouts from a warm pool, its statistics, and shared pools.

use std::time::Duration;

use aws_smithy_async::time::TimeSource;
use dsql_conn::tokio_postgres::Client;
use dsql_conn::{Config, Error, Pool};
use dsql_local::{Fault, Refusal};

use crate::support::{builder, clocked_pool, cluster, config, flights, pool};

#[tokio::test]
async fn checkout_after_a_query_takes_no_round_trip() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..10 {
        let connection = pool.get().await.unwrap();
        // The driver's own `query` prepares each time, and closes the statement in a message of its
        // own.
        Client::query(&connection, "SELECT 1", &[]).await.unwrap();
    }
    assert_eq!(flights(&cluster), ["PDS", "BES"].repeat(10));
}

#[tokio::test]
async fn warm_query_takes_one_round_trip() {
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
async fn warm_transaction_takes_two_round_trips() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    for _ in 0..3 {
        let one: i32 = pool
            .transaction(async |tx| Ok(tx.query_one("SELECT 1", &[]).await?.get(0)))
            .await
            .unwrap();
        assert_eq!(one, 1);
    }
    // BEGIN goes with the first statement: first to prepare it, then to run it.
    let expected = ["PBDEPDS", "BES", "Q", "PBDEBES", "Q", "PBDEBES", "Q"];
    assert_eq!(flights(&cluster), expected);
}

#[tokio::test]
async fn unbounded_durations_are_capped() {
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

#[tokio::test]
async fn passed_deadline_still_takes_an_idle_connection() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let held = pool.get().await.unwrap();
    let error = pool.get_until(clock.now()).await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { cause: None, .. }));
    drop(held);
    pool.get_until(clock.now()).await.unwrap();
}

#[tokio::test]
async fn idle_connections_are_kept_ready() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(5).min_idle(3).build();
    let held = pool.get().await.unwrap();
    while pool.stats().idle < 3 {
        tokio::task::yield_now().await;
    }
    drop(held);
    assert!(cluster.counts().logins >= 4);
}

#[tokio::test]
async fn statistics_count_every_state() {
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
async fn only_equal_configurations_share_a_pool() {
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
async fn shared_pool_connects_after_a_failure() {
    let cluster = cluster().await;
    let config = config(&cluster);
    cluster.inject(Fault::refuse(Refusal::NoSni));
    Pool::shared(config.clone()).get().await.unwrap_err();
    Pool::shared(config).get().await.unwrap();
}

#[tokio::test]
async fn provider_built_for_each_call_makes_a_pool_for_each() {
    let cluster = cluster().await;
    let (one, other) = (config(&cluster), config(&cluster));
    drop(Pool::shared(one.clone()).get().await.unwrap());
    drop(Pool::shared(other).get().await.unwrap());
    drop(Pool::shared(one).get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}
