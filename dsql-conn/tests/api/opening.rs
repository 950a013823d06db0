//! Opening connections for waiting checkouts: which checkout gets an error, and which failures are
//! retried.

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
async fn failed_opening_wakes_the_waiters() {
    let cluster = cluster().await;
    let unauthorized = cluster.identity("unauthorized", &[]);
    let pool = builder(config(&cluster).credentials(credentials(&unauthorized)))
        .max_size(3)
        .build();
    let results = join_all((0..3).map(|_| pool.get())).await;
    for result in results {
        assert_eq!(result.unwrap_err().reason(), Some(Reason::NotAuthorized));
    }
}

#[tokio::test]
async fn missing_permission_is_reported_after_one_connect() {
    let cluster = cluster().await;
    let unauthorized = cluster.identity("unauthorized", &[]);
    let pool = Pool::new(config(&cluster).credentials(credentials(&unauthorized)));
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    assert!(error.to_string().contains(unauthorized.arn()), "{error}");
    assert_eq!(cluster.counts().accepted, 1);
}

#[tokio::test]
async fn hanging_opening_frees_its_slot() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::TlsHello, Effect::Stall).times(2));
    let pool = builder(config(&cluster).connect_timeout(Duration::from_millis(500)))
        .max_size(1)
        .build();
    // Two openings hang until their deadline. Each time their callers get the error and the only
    // slot is free again.
    for _ in 0..2 {
        let error = pool.get().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::TimedOut), "{error}");
    }
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn opening_past_its_deadline_is_ended_by_the_next_checkout() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    let mut first = Box::pin(pool.get());
    while cluster.counts().accepted == 0 {
        assert!((&mut first).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(first);
    // A freeze: timers did not run.
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
async fn transient_refusal_is_retried_and_named_at_the_deadline() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp).always());
    let pool = builder(config(&cluster).connect_timeout(Duration::from_secs(1)))
        .checkout_timeout(Duration::from_secs(3))
        .build();
    // The error comes after one connect_timeout, whatever the checkout's own timeout.
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::Connect(_)), "{error}");
    assert_eq!(error.reason(), Some(Reason::WakingUp), "{error}");
    cluster.clear_faults();
    let pool = crate::support::pool(&cluster, 1);
    cluster.inject(Fault::refuse(Refusal::WakingUp).times(2));
    pool.get().await.unwrap();
}

#[tokio::test]
async fn checkout_timeout_names_the_last_failed_attempt() {
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
async fn checkout_timeout_names_the_step_that_hangs() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::TlsHello, Effect::Stall).always());
    let timeout = Duration::from_millis(500);
    let pool = builder(config(&cluster).connect_timeout(LONG))
        .checkout_timeout(timeout)
        .build();
    let error = pool.get().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::TimedOut), "{error}");
    assert!(error.to_string().contains("TLS handshake"), "{error}");
}

#[tokio::test]
async fn checkout_timeout_with_all_in_use_has_no_cause() {
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
async fn failed_opening_fails_no_waiter_while_one_is_in_use() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 2);
    let busy = pool.get().await.unwrap();
    cluster.inject(Fault::refuse(Refusal::NoSni).always());
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.map(|connection| connection.expires_at()) }
    });
    // The waiter's opening failed for a permanent reason. The returned connection still serves it.
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
async fn panicking_provider_is_an_error_and_frees_its_slot() {
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
async fn server_that_ends_every_session_gets_finite_logins() {
    let cluster = cluster().await;
    let clock = Clock::default();
    // Each connection has expired when it is open, so the pool cannot use it.
    let config = config(&cluster)
        .time_source(Leaping(clock))
        .max_lifetime(Duration::from_secs(1));
    let pool = builder(config)
        .max_size(1)
        .checkout_timeout(Duration::from_secs(2))
        .build();
    pool.get().await.unwrap_err();
    let accepted = cluster.counts().accepted;
    assert!((2..100).contains(&accepted), "{accepted}");
}

#[tokio::test]
async fn sleeping_cluster_is_woken_and_waited_for() {
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
async fn many_openings_keep_to_the_rate_of_the_cluster() {
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

/// A clock that advances two seconds with each read.
#[derive(Debug)]
struct Leaping(Clock);

impl TimeSource for Leaping {
    fn now(&self) -> SystemTime {
        self.0.advance(Duration::from_secs(2));
        self.0.now()
    }
}

#[tokio::test]
async fn successor_opening_interrupted_by_a_freeze_frees_its_slot() {
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
async fn waiter_for_a_slot_gets_the_cause_of_the_opening() {
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
