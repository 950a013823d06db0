//! Opening connections for those who wait: who is told of a failure, and what is tried again.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use dsql_conn::{Error, Pool, Reason};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::FutureExt;
use futures_util::future::join_all;

use crate::support::{
    Clock, Counting, builder, clocked_pool, cluster, config, credentials, next_packet, pool, until,
};

#[tokio::test]
async fn a_failed_dial_wakes_those_who_wait() {
    let cluster = cluster().await;
    let stranger = cluster.identity("stranger", &[]);
    let pool = builder(config(&cluster).credentials(credentials(&stranger)))
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
    let pool = builder(config(&cluster).connect_timeout(Duration::from_millis(500)))
        .max_size(1)
        .build();
    // Two openings hang until their deadline. Their callers are told, and the pool's only slot is
    // free again each time.
    for _ in 0..2 {
        let error = pool.get().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::TimedOut), "{error}");
    }
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_dial_past_its_wall_clock_deadline_is_ended_by_the_next_checkout() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
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
    let pool = builder(config(&cluster).connect_timeout(Duration::from_secs(1)))
        .checkout_timeout(Duration::from_secs(3))
        .build();
    // Told when one opening's time is up, whatever the checkout's own deadline.
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    assert_eq!(error.reason(), Some(Reason::WakingUp), "{error}");
    cluster.clear_faults();
    let pool = crate::support::pool(&cluster, 1);
    cluster.inject(Fault::refuse(Refusal::WakingUp).times(2));
    pool.get().await.unwrap();
}

#[tokio::test]
async fn a_checkout_whose_time_is_up_tells_what_the_dial_has_met_so_far() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp).always());
    let pool = builder(config(&cluster).connect_timeout(LONG))
        .checkout_timeout(Duration::from_secs(1))
        .build();
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::CheckoutTimeout { .. }), "{error}");
    assert_eq!(error.reason(), Some(Reason::WakingUp), "{error}");
    assert_eq!(pool.stats().failed, 0);
}

#[tokio::test]
async fn a_checkout_whose_time_is_up_tells_how_far_the_dial_has_come() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::TlsHello, Effect::Stall).always());
    let patience = Duration::from_millis(500);
    let pool = builder(config(&cluster).connect_timeout(LONG))
        .checkout_timeout(patience)
        .build();
    let error = pool.get().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::TimedOut), "{error}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
}

#[tokio::test]
async fn a_checkout_that_waits_for_those_in_use_blames_nothing_else() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster))
        .checkout_timeout(Duration::from_millis(50))
        .max_size(1)
        .build();
    let deadline = SystemTime::now() + LONG;
    let _busy = pool.get_until(deadline).await.unwrap();
    let error = pool.get().await.unwrap_err();
    let is_in_use = matches!(error, Error::CheckoutTimeout { cause: None, .. });
    assert!(is_in_use, "{error}");
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
    // The waiter's dial has failed, for a cause that will not pass; what comes back still serves
    // it.
    until(&cluster, |counts| {
        counts.refused(|refusal| *refusal == Refusal::NoSni) >= 1
    })
    .await;
    let expires_at = busy.expires_at();
    drop(busy);
    assert_eq!(waiting.await.unwrap().unwrap(), expires_at);
}

#[tokio::test]
async fn two_hundred_first_connects_fetch_credentials_once() {
    let cluster = cluster().await;
    let provider = Counting::new(cluster.admin());
    let pool = builder(config(&cluster).credentials(provider.clone()))
        .max_size(200)
        .build();
    let connections = join_all((0..200).map(|_| pool.get())).await;
    assert!(connections.iter().all(Result::is_ok));
    assert_eq!(provider.asked(), 1);
    assert_eq!(cluster.counts().logins, 200);
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
    let pool = builder(config(&cluster).credentials(Panicking))
        .max_size(1)
        .checkout_timeout(Duration::from_secs(2))
        .build();
    for _ in 0..2 {
        let error = pool.get().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Aborted), "{error}");
    }
}

#[tokio::test]
async fn a_peer_that_hangs_up_after_each_login_is_not_dialed_without_end() {
    let cluster = cluster().await;
    let clock = Clock::default();
    // Each connection is past its age when it is there: what it is unfit for does not matter.
    let config = config(&cluster)
        .time_source(Leaping(clock))
        .max_lifetime(Duration::from_secs(1));
    let pool = builder(config)
        .max_size(1)
        .checkout_timeout(Duration::from_secs(2))
        .build();
    pool.get().await.unwrap_err();
    let dials = cluster.counts().accepted;
    assert!((2..100).contains(&dials), "{dials}");
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

/// A clock that is two seconds later each time it is read.
#[derive(Debug)]
struct Leaping(Clock);

impl TimeSource for Leaping {
    fn now(&self) -> SystemTime {
        self.0.advance(Duration::from_secs(2));
        self.0.now()
    }
}

#[tokio::test]
async fn a_successor_whose_dial_a_freeze_left_behind_gives_its_place_up() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    let connection = pool.get().await.unwrap();
    let hour = Duration::from_secs(3600);
    clock.advance(hour);
    cluster.clock().advance(hour);
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    drop(connection);
    until(&cluster, |counts| counts.accepted == 2).await;
    clock.advance(hour);
    cluster.clock().advance(hour);
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn who_waits_for_a_place_is_told_what_keeps_its_holder_waiting() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp).always());
    let pool = builder(config(&cluster).connect_timeout(LONG))
        .checkout_timeout(LONG)
        .max_size(1)
        .build();
    let mut holder = Box::pin(pool.get());
    assert!((&mut holder).now_or_never().is_none());
    until(&cluster, |counts| {
        counts.refused(|refusal| *refusal == Refusal::WakingUp) >= 1
    })
    .await;
    next_packet().await;
    let error = pool.get_until(SystemTime::now()).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::WakingUp), "{error}");
}

/// Longer than a test waits.
const LONG: Duration = Duration::from_secs(120);
