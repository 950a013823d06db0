//! The pool: connections lost behind its back, slow networks, fairness, runtimes that end.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dsql_conn::{Discard, Error, Pool};
use dsql_local::{Effect, Fault, LocalCluster, Stage};
use futures_util::future::join_all;
use futures_util::{FutureExt, TryStreamExt, pin_mut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::support::{Clock, builder, cluster, config, notes, until};

/// Carries connections to the cluster, with a round trip of 250 ms. Returns its port.
async fn slow_relay(cluster: &LocalCluster) -> u16 {
    async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut bytes = [0; 16_384];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            sleep(Duration::from_millis(125)).await;
            if to.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    }

    let (listener, address) = (TcpListener::bind("127.0.0.1:0").await, cluster.address());
    let listener = listener.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(address).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(carry(from_client, to_server));
            tokio::spawn(carry(from_server, to_client));
        }
    });
    port
}

/// Checks a connection out and uses it.
async fn select(pool: &Pool) {
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_dead_connection_dropped_on_a_plain_thread_is_replaced() {
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
async fn an_expired_connection_dropped_on_a_plain_thread_is_replaced() {
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
    // Nobody calls.
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

#[tokio::test]
async fn failures_over_a_slow_network_keep_the_connection() {
    let cluster = cluster().await;
    let setup = config(&cluster).connect().await.unwrap();
    setup
        .batch_execute("CREATE TABLE note (text text PRIMARY KEY)")
        .await
        .unwrap();
    drop(setup);
    let logins = cluster.counts().logins;
    // Its settle timeout follows the round trip.
    let pool = Pool::builder(config(&cluster).port(slow_relay(&cluster).await))
        .max_size(1)
        .build();

    let failed = pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Err::<(), _>(Error::PoolClosed)
    });
    assert!(matches!(failed.await, Err(Error::PoolClosed)));
    let refused = pool.transaction(async |tx| tx.query("SELECT nothing", &[]).await);
    assert!(matches!(refused.await, Err(Error::Query(_))));
    cluster.inject(Fault::conflict_commits(1));
    let body =
        async |tx: dsql_conn::Transaction| tx.execute("INSERT INTO note VALUES ('two')", &[]).await;
    pool.transaction(body).await.unwrap();
    assert_eq!(pool.stats().data_conflicts, 1);

    // Dropped in the middle: its ROLLBACK is in flight at the next checkout.
    let seen = cluster.counts().statements;
    let dropped = pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('three')", &[]).await?;
        std::future::pending::<Result<(), Error>>().await
    });
    tokio::select! {
        _ = dropped => panic!("it was committed"),
        () = until(&cluster, |counts| counts.statements >= seen + 2) => {}
    }
    select(&pool).await;
    assert_eq!(pool.stats().closed, 0, "{:?}", pool.stats());
    assert_eq!(cluster.counts().logins, logins + 1);
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn a_stream_read_after_the_return_is_passed_over() {
    const ROWS: &str = "SELECT repeat('x', 1000) FROM generate_series(1, 20000)";

    let cluster = cluster().await;
    let settle_timeout = Duration::from_millis(10);
    let pool = builder(config(&cluster))
        .max_size(5)
        .settle_timeout(settle_timeout)
        .build();
    let rows = {
        let connection = pool.get().await.unwrap();
        connection.query_raw(ROWS, [0_i32; 0]).await.unwrap()
    };
    pin_mut!(rows);
    let mut read = 0;
    while rows.try_next().await.unwrap().is_some() {
        read += 1;
        if read % 4_000 == 1 {
            select(&pool).await;
        }
    }
    assert_eq!(read, 20_000);
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
    // Both serve again.
    let both = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(both);
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, 2));
}

#[tokio::test]
async fn pings_behind_a_blocked_thread_close_no_connection() {
    const SIZE: u64 = 10;
    const PING_TIMEOUT: Duration = Duration::from_secs(1);

    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = builder(config(&cluster).time_source(clock.clone()))
        .ping_timeout(PING_TIMEOUT)
        .build();
    drop(join_all((0..SIZE).map(|_| pool.get())).await);
    assert_eq!(cluster.counts().logins, SIZE);
    clock.advance(Duration::from_secs(31));

    let pinged = join_all((0..SIZE).map(|_| pool.get()));
    let blocking = async {
        until(&cluster, |counts| counts.statements == SIZE).await;
        // All replies arrive meanwhile, and nobody reads them.
        thread::sleep(PING_TIMEOUT + Duration::from_millis(200));
    };
    let (connections, ()) = tokio::join!(pinged, blocking);
    assert!(connections.iter().all(Result::is_ok));
    assert_eq!((pool.stats().closed, cluster.counts().logins), (0, SIZE));
}

#[test]
fn a_runtime_that_ends_during_an_opening_frees_its_slot() {
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

/// Four tasks take turns on one connection while no other can be opened. Returns how often each
/// was served.
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
async fn who_waits_for_an_opening_is_first_to_get_a_return() {
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
    // Somebody new must not overtake.
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

#[tokio::test]
async fn a_provider_built_for_each_call_makes_a_pool_for_each() {
    let cluster = cluster().await;
    let (one, other) = (config(&cluster), config(&cluster));
    drop(Pool::shared(one.clone()).get().await.unwrap());
    drop(Pool::shared(other).get().await.unwrap());
    drop(Pool::shared(one).get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}
