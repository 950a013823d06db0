//! `Pool::close`: idle connections, waiting checkouts, and concurrent calls.

use std::pin::pin;
use std::time::Duration;

use dsql_conn::Error;
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::support::{builder, clocked_pool, cluster, config, pool, until};

#[tokio::test]
async fn waiting_checkouts_fail_at_once() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let held = pool.get().await.unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(pool.get())).collect();
    for checkout in &mut waiting {
        assert!(checkout.now_or_never().is_none());
    }

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    for checkout in waiting {
        let result = checkout.now_or_never().expect("it has ended");
        assert!(matches!(result, Err(Error::PoolClosed)), "{result:?}");
    }
    drop(held);
    assert_eq!(closing.await, 0);
    all_sent_terminate(&cluster).await;
}

#[tokio::test]
async fn opening_in_progress_ends_at_once() {
    let at = |stage| Fault::at(stage, Effect::Stall);
    for fault in [
        at(Stage::Accept),
        at(Stage::TlsHello),
        at(Stage::Password),
        at(Stage::Ready),
        // Between two attempts.
        Fault::refuse(Refusal::WakingUp).always(),
    ] {
        let cluster = cluster().await;
        cluster.inject(fault.clone());
        let pool = builder(config(&cluster)).idle_timeout(None).build();
        let mut checkout = pin!(pool.get());
        let begun = until(&cluster, |_| cluster.struck(&fault) > 0);
        run_until(&mut checkout, begun).await;

        assert_eq!(pool.close(LONG).now_or_never(), Some(0), "{fault:?}");
        let result = checkout.now_or_never().expect("it has ended");
        assert!(matches!(result, Err(Error::PoolClosed)), "{result:?}");
        until(&cluster, |_| tasks() == 0).await;
    }
}

#[tokio::test]
async fn checkout_in_a_ping_fails_at_once() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    drop(pool.get().await.unwrap());
    clock.advance(Duration::from_secs(60));
    let silence = Fault::at(Stage::Statement, Effect::Stall);
    cluster.inject(silence.clone());
    let mut checkout = pin!(pool.get());
    let asked = until(&cluster, |_| cluster.struck(&silence) == 1);
    run_until(&mut checkout, asked).await;

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    let result = checkout.now_or_never().expect("it has ended");
    assert!(matches!(result, Err(Error::PoolClosed)), "{result:?}");
    assert_eq!(closing.await, 0);
}

#[tokio::test]
async fn idle_connections_send_terminate_with_zero_timeout() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 3);
    drop(join_all((0..3).map(|_| pool.get())).await);
    let held = pool.get().await.unwrap();
    assert_eq!(pool.close(Duration::ZERO).await, 1);
    assert!(held.is_closed());
    until(&cluster, |counts| counts.open == 0).await;
    let connections = cluster.connections();
    let is_terminate = |flight: &String| flight == "X";
    let terminates = connections
        .iter()
        .filter(|connection| connection.flights.last().is_some_and(is_terminate));
    assert_eq!(terminates.count(), 2);
}

#[tokio::test]
async fn unused_pool_closes_at_once() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).min_idle(2).build();
    assert_eq!(pool.close(LONG).now_or_never(), Some(0));
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::PoolClosed), "{error}");
    assert_eq!(pool.close(LONG).await, 0);
    assert_eq!((tasks(), cluster.counts().accepted), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_may_close_at_the_same_time() {
    let cluster = cluster().await;
    for (timeout, cut) in [(LONG, 0), (SHORT, 1)] {
        let pool = pool(&cluster, 2);
        let (idle, held) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        drop(idle);
        let closing = [(); 2].map(|()| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.close(timeout).await })
        });
        let kept = (cut == 1).then_some(held);
        let cuts = join_all(closing).await.into_iter().map(Result::unwrap);
        assert_eq!(cuts.sum::<usize>(), cut);
        assert!(kept.is_none_or(|kept| kept.is_closed()));
        assert_eq!(pool.close(LONG).await, 0);
        until(&cluster, |counts| counts.open == 0).await;
    }
}

#[tokio::test]
async fn shortest_timeout_decides() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let held = pool.get().await.unwrap();
    let cut = tokio::join!(pool.close(LONG), pool.close(SHORT));
    assert_eq!(cut, (0, 1));
    assert!(held.is_closed());
}

#[tokio::test]
async fn equal_timeouts_count_each_connection_once() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let held = pool.get().await.unwrap();
    // Both time out at the same moment, before the connection has ended.
    tokio::time::pause();
    let (one, other) = tokio::join!(pool.close(SHORT), pool.close(SHORT));
    assert_eq!(one + other, 1);
    assert!(held.is_closed());
}

#[tokio::test]
async fn cancelled_close_leaves_connections_and_can_be_repeated() {
    let cluster = cluster().await;
    for steps in 0..5 {
        let pool = pool(&cluster, 2);
        let (idle, held) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        drop(idle);
        {
            let mut closing = pin!(pool.close(LONG));
            for _ in 0..=steps {
                assert!((&mut closing).now_or_never().is_none());
                yield_now().await;
            }
        }
        assert!(matches!(pool.get().await, Err(Error::PoolClosed)));
        held.query_one("SELECT 1", &[]).await.unwrap();
        drop(held);
        assert_eq!(pool.close(LONG).await, 0);
        all_sent_terminate(&cluster).await;
    }
}

#[tokio::test]
async fn close_fails_waiters_and_waits_for_connections_in_use() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 2);
    let held = pool.get().await.unwrap();
    drop(pool.get().await.unwrap());

    let mut closing = Box::pin(pool.close(Duration::from_secs(60)));
    assert!((&mut closing).now_or_never().is_none());
    assert!(matches!(pool.get().await, Err(Error::PoolClosed)));
    held.batch_execute("SELECT 1").await.unwrap();
    drop(held);
    assert_eq!(closing.await, 0);
    until(&cluster, |counts| counts.open == 0).await;
    for connection in cluster.connections() {
        assert_eq!(connection.flights.last().map(String::as_str), Some("X"));
    }
}

#[tokio::test]
async fn connections_in_use_are_aborted_at_the_timeout() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let held = pool.get().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.get().await.map(drop) }
    });
    yield_now().await;
    assert_eq!(pool.close(Duration::from_millis(10)).await, 1);
    assert!(matches!(waiting.await.unwrap(), Err(Error::PoolClosed)));
    assert!(held.batch_execute("SELECT 1").await.is_err());
    until(&cluster, |counts| counts.open == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn close_during_an_opening_does_not_wait() {
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

/// Runs a call until the test has observed its progress. The call must not end before.
pub(crate) async fn run_until(call: impl Future + Unpin, seen: impl Future<Output = ()>) {
    tokio::select! {
        () = seen => {}
        _ = call => panic!("the call has ended"),
    }
}

/// Waits until every connection has ended, and checks that each sent `Terminate`.
pub(crate) async fn all_sent_terminate(cluster: &LocalCluster) {
    until(cluster, |counts| counts.open == 0).await;
    for connection in cluster.connections() {
        let last = connection.flights.last().map(String::as_str);
        assert_eq!(last, Some("X"), "{connection:?}");
    }
}

/// The number of tasks on the test's runtime.
pub(crate) fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// A timeout that does not pass.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A timeout that passes.
pub(crate) const SHORT: Duration = Duration::from_millis(10);
