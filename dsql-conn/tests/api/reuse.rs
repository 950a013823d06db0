//! A connection that was used is checked out again without a run of its task, where that is safe.

use std::time::Duration;

use dsql_conn::tokio_postgres::Client;
use dsql_conn::{Config, Pool};
use dsql_local::LocalCluster;
use futures_util::FutureExt;

use crate::support::{Clock, builder, cluster, config};

/// A pool of one connection, by a clock that the test moves.
async fn pool() -> (LocalCluster, Clock, Pool) {
    let (cluster, clock) = (cluster().await, Clock::default());
    let config: Config = config(&cluster).time_source(clock.clone());
    let pool = builder(config).max_size(1).build();
    (cluster, clock, pool)
}

/// Whether the next checkout needs no other task to run.
fn is_immediate(pool: &Pool) -> bool {
    pool.get().now_or_never().is_some()
}

#[tokio::test]
async fn connection_whose_statements_are_done_is_reused_at_once() {
    let (_cluster, _clock, pool) = pool().await;
    // A slow machine may take longer than the pool trusts the last reply.
    for _ in 0..1_000 {
        let connection = pool.get().await.unwrap();
        connection.query("SELECT 1", &[]).await.unwrap();
        drop(connection);
        if is_immediate(&pool) {
            return;
        }
    }
    panic!("each checkout waited for the connection task");
}

#[tokio::test]
async fn use_of_the_driver_s_client_is_waited_for() {
    let (_cluster, _clock, pool) = pool().await;
    for _ in 0..20 {
        let connection = pool.get().await.unwrap();
        let client: &Client = &connection;
        client.simple_query("SELECT 1").await.unwrap();
        drop(connection);
        assert!(!is_immediate(&pool));
    }
}

#[tokio::test]
async fn statement_dropped_halfway_is_waited_for() {
    let (_cluster, _clock, pool) = pool().await;
    for _ in 0..20 {
        let connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        assert!(
            connection
                .batch_execute("SELECT 1")
                .now_or_never()
                .is_none()
        );
        drop(connection);
        assert!(!is_immediate(&pool));
    }
}

/// The server may have closed the connection meanwhile, which its task would notice.
#[tokio::test]
async fn connection_is_waited_for_after_a_pause() {
    let (_cluster, clock, pool) = pool().await;
    for held in [true, false] {
        for _ in 0..20 {
            let connection = pool.get().await.unwrap();
            connection.batch_execute("SELECT 1").await.unwrap();
            if held {
                clock.advance(Duration::from_secs(1));
            }
            drop(connection);
            if !held {
                clock.advance(Duration::from_secs(1));
            }
            assert!(!is_immediate(&pool));
        }
    }
}
