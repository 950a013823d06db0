//! Lending connections: for nothing when warm, fairly, and with the true cause when there are none.

use std::{sync::Arc, time::Duration};

use aws_smithy_async::time::TimeSource;
use dsql_conn::{Config, ConnectionManager, Error, Pool, Reason, bb8, tokio_postgres::Client};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::{FutureExt, future::join_all};

use crate::support::{Clock, Counting, cluster, config, credentials, pool, until};

/// What the client sent on its only connection, less the driver's housekeeping, which nobody waits for.
fn flights(cluster: &LocalCluster) -> Vec<String> {
    let connections = cluster.connections();
    assert_eq!(connections.len(), 1, "one connection");
    let flights = connections[0].flights.iter();
    flights.filter(|flight| *flight != "CS").cloned().collect()
}

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
async fn a_failed_dial_wakes_those_who_wait() {
    let cluster = cluster().await;
    let stranger = cluster.identity("stranger", &[]);
    let pool = Pool::builder(config(&cluster).credentials(credentials(&stranger)))
        .max_size(3)
        .build();
    let results = join_all((0..3).map(|_| pool.get())).await;
    for result in results {
        assert_eq!(result.unwrap_err().reason(), Some(Reason::NotAuthorized));
    }
}

#[tokio::test]
async fn a_missing_permission_is_told_within_one_connect() {
    let cluster = cluster().await;
    let stranger = cluster.identity("stranger", &[]);
    let pool = Pool::new(config(&cluster).credentials(credentials(&stranger)));
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    assert!(error.to_string().contains(stranger.arn()), "{error}");
    assert_eq!(cluster.counts().accepted, 1);
}

#[tokio::test]
async fn a_hung_dial_gives_its_slot_back() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::TlsHello, Effect::Stall).times(2));
    let pool = Pool::builder(config(&cluster).connect_timeout(Duration::from_millis(500)))
        .max_size(1)
        .build();
    // Two dials hang until their deadline; the pool's only slot is free again each time.
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_dial_past_its_wall_clock_deadline_is_ended_by_the_next_checkout() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    let mut first = Box::pin(pool.get());
    while cluster.counts().accepted == 0 {
        assert!((&mut first).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(first);
    // A freeze: its timers did not run.
    clock.advance(Duration::from_secs(3600));
    cluster.clock().advance(Duration::from_secs(3600));
    pool.get()
        .await
        .unwrap()
        .batch_execute("SELECT 1")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_transient_refusal_is_waited_out_and_named_when_time_is_up() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp).always());
    let pool = Pool::new(
        config(&cluster)
            .connect_timeout(Duration::from_secs(1))
            .checkout_timeout(Duration::from_secs(3)),
    );
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { .. }), "{error}");
    assert_eq!(error.reason(), Some(Reason::WakingUp), "{error}");
    cluster.clear_faults();
    let pool = crate::support::pool(&cluster, 1);
    cluster.inject(Fault::refuse(Refusal::WakingUp).times(2));
    pool.get().await.unwrap();
}

#[tokio::test]
async fn a_failure_does_not_reach_those_who_wait_while_others_are_served() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 2);
    let busy = pool.get().await.unwrap();
    cluster.inject(Fault::refuse(Refusal::NoSni).always());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.map(|connection| connection.expires_at()) }
    });
    // The waiter's dial has failed, for a cause that will not pass; what comes back still serves it.
    until(&cluster, |counts| {
        counts.refused(|refusal| *refusal == Refusal::NoSni) >= 1
    })
    .await;
    let expires_at = busy.expires_at();
    drop(busy);
    assert_eq!(waiting.await.unwrap().unwrap(), expires_at);
}

#[tokio::test]
async fn a_checkout_that_was_given_up_during_its_ping_is_no_sign_of_life() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster)
        .time_source(clock.clone())
        .settle_timeout(Duration::from_millis(50));
    let pool = Pool::builder(config).max_size(1).build();
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
async fn a_connection_held_through_a_freeze_unused_gives_a_sign_of_life() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
    let held = pool.get().await.unwrap();
    clock.advance(Duration::from_secs(600));
    drop(held);
    drop(pool.get().await.unwrap());
    assert_eq!(flights(&cluster), ["Q"]);
}

#[tokio::test]
async fn a_peer_that_hangs_up_after_each_login_is_not_dialed_without_end() {
    let cluster = cluster().await;
    let clock = Clock::default();
    // Each connection is past its age when it is there: what it is unfit for does not matter.
    let config = config(&cluster)
        .time_source(Leaping(clock))
        .max_lifetime(Duration::from_secs(1))
        .checkout_timeout(Duration::from_secs(2));
    let pool = Pool::builder(config).max_size(1).build();
    pool.get().await.unwrap_err();
    let dials = cluster.counts().accepted;
    assert!((2..100).contains(&dials), "{dials}");
}

#[tokio::test]
async fn durations_without_bound_are_bounded() {
    let cluster = cluster().await;
    let config = config(&cluster)
        .connect_timeout(Duration::MAX)
        .checkout_timeout(Duration::MAX)
        .ping_after(Duration::MAX)
        .ping_timeout(Duration::MAX)
        .settle_timeout(Duration::MAX)
        .max_lifetime(Duration::MAX);
    let pool = Pool::builder(config).idle_timeout(Duration::ZERO).build();
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

#[tokio::test]
async fn two_hundred_first_connects_fetch_credentials_once() {
    let cluster = cluster().await;
    let provider = Counting::new(cluster.admin());
    let pool = Pool::builder(config(&cluster).credentials(provider.clone()))
        .max_size(200)
        .build();
    let connections = join_all((0..200).map(|_| pool.get())).await;
    assert!(connections.iter().all(Result::is_ok));
    assert_eq!(provider.asked(), 1);
    assert_eq!(cluster.counts().logins, 200);
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
async fn an_old_connection_is_replaced_before_it_is_lent() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
    let connection = pool.get().await.unwrap();

    let lifetime = connection.expires_at().duration_since(clock.now()).unwrap();
    assert!(lifetime >= Duration::from_secs(45 * 60) && lifetime <= Duration::from_secs(55 * 60));
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
async fn a_connection_that_comes_back_shortly_before_its_age_is_replaced_in_the_background() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
    let connection = pool.get().await.unwrap();
    let lifetime = connection.expires_at().duration_since(clock.now()).unwrap();
    clock.advance(lifetime - Duration::from_secs(59));
    cluster.clock().advance(lifetime);
    drop(connection);
    // Without a checkout.
    until(&cluster, |counts| counts.logins == 2 && counts.open == 1).await;
    until(&cluster, |_| pool.stats().idle == 1).await;
    assert!(pool.get().now_or_never().is_some_and(|lent| lent.is_ok()));
    assert_eq!(pool.stats().opened, 2);
}

#[tokio::test]
async fn a_clock_that_steps_back_makes_no_connection_immortal() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
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
async fn a_connection_that_was_idle_for_long_gives_a_sign_of_life() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
    drop(pool.get().await.unwrap());
    clock.advance(Duration::from_secs(31));
    drop(pool.get().await.unwrap());
    drop(pool.get().await.unwrap());
    assert_eq!(flights(&cluster), ["Q"]);
}

#[tokio::test]
async fn a_connection_that_died_unseen_is_replaced() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster)
        .time_source(clock.clone())
        .ping_timeout(Duration::from_millis(200));
    let pool = Pool::builder(config).max_size(1).build();
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
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone()))
        .max_size(1)
        .build();
    let lent = pool.get().await.unwrap();
    let error = pool.get_by(clock.now()).await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { cause: None, .. }));
    drop(lent);
    pool.get_by(clock.now()).await.unwrap();
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
async fn a_panicking_provider_is_an_error_and_not_a_lost_slot() {
    #[derive(Debug)]
    struct Panicking;

    impl aws_credential_types::provider::ProvideCredentials for Panicking {
        fn provide_credentials<'a>(
            &'a self,
        ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            panic!("on purpose")
        }
    }

    let cluster = cluster().await;
    let config: Config = config(&cluster)
        .credentials(Panicking)
        .checkout_timeout(Duration::from_secs(2));
    let pool = Pool::builder(config).max_size(1).build();
    for _ in 0..2 {
        let error = pool.get().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Aborted), "{error}");
    }
}

#[tokio::test]
async fn after_a_thaw_one_dead_connection_speaks_for_the_rest() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let config = config(&cluster)
        .time_source(clock.clone())
        .ping_timeout(Duration::from_millis(200));
    let pool = Pool::builder(config).max_size(5).build();
    drop(join_all((0..5).map(|_| pool.get())).await);
    cluster.black_hole_all();
    clock.advance(Duration::from_secs(600));
    cluster.clock().advance(Duration::from_secs(600));

    pool.get()
        .await
        .unwrap()
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    assert_eq!(pool.stats().closed, 5);
    assert_eq!(cluster.counts().logins, 6);
}

#[tokio::test]
async fn idle_connections_are_kept_ready() {
    let cluster = cluster().await;
    let pool = Pool::builder(config(&cluster))
        .max_size(5)
        .min_idle(3)
        .build();
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

#[tokio::test]
async fn a_lambdas_pool_keeps_its_one_connection() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::lambda(config(&cluster).time_source(clock.clone()));
    assert_eq!(pool.stats().max_size, 1);
    for _ in 0..3 {
        drop(pool.get().await.unwrap());
        clock.advance(Duration::from_secs(900));
    }
    assert_eq!(flights(&cluster), ["Q", "Q"]);
}

#[tokio::test]
async fn a_cluster_that_sleeps_is_woken_and_waited_for() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    cluster.sleep();
    pool.get()
        .await
        .unwrap()
        .query("SELECT 1", &[])
        .await
        .unwrap();
    assert!(
        cluster
            .counts()
            .refused(|refusal| *refusal == Refusal::WakingUp)
            >= 1
    );
}

#[tokio::test]
async fn a_crowd_is_let_in_at_the_rate_that_the_cluster_allows() {
    let cluster = LocalCluster::builder()
        .connection_rate(5, 20)
        .start()
        .await
        .unwrap();
    let pool = pool(&cluster, 20);
    let connections = join_all((0..20).map(|_| pool.get())).await;
    assert!(connections.iter().all(Result::is_ok));
    assert!(
        cluster
            .counts()
            .refused(|refusal| *refusal == Refusal::RateExceeded)
            >= 1
    );
}

#[tokio::test]
async fn the_services_own_limit_of_an_hour_reaches_nobody() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::builder(config(&cluster).time_source(clock.clone())).build();
    for _ in 0..30 {
        pool.get()
            .await
            .unwrap()
            .query("SELECT 1", &[])
            .await
            .unwrap();
        let minutes = Duration::from_secs(7 * 60);
        clock.advance(minutes);
        cluster.clock().advance(minutes);
        cluster.pass_time(minutes);
    }
    assert!(
        (4..=9).contains(&cluster.counts().logins),
        "{:?}",
        cluster.counts()
    );
}

/// A clock that is two seconds later each time it is read.
#[derive(Debug)]
struct Leaping(Clock);

impl TimeSource for Leaping {
    fn now(&self) -> std::time::SystemTime {
        self.0.advance(Duration::from_secs(2));
        self.0.now()
    }
}
