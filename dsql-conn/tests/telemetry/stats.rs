//! What `Pool::stats` counts, with and without the feature `metrics`.

use std::time::Duration;

use dsql_conn::{Error, Reason};
use dsql_local::{Effect, Fault, Refusal, Stage};

use crate::lost_commits::{self, cluster_with_outcomes};
use crate::support::{Counting, builder, cluster, cluster_with_pool, config, select};

#[tokio::test]
async fn lost_commits_are_counted_by_their_outcome() {
    let (cluster, pool) = cluster_with_outcomes().await;
    lost_commits::settle(&cluster, &pool).await;
    let error = lost_commits::leave_unknown(&cluster, &pool).await;
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error}");

    let stats = pool.stats();
    assert_eq!(stats.unknown_commits, 3);
    assert_eq!((stats.settled_committed, stats.settled_rolled_back), (1, 1));
    // No attempt lost its connection before `COMMIT`.
    assert_eq!(stats.lost_connections, 0);
}

#[tokio::test]
async fn failed_attempts_are_counted_by_reason() {
    let cluster = cluster().await;
    let provider = Counting::new(cluster.admin());
    let pool = builder(config(&cluster).credentials(provider)).build();
    cluster.inject(Fault::refuse(Refusal::WakingUp));
    cluster.inject(Fault::at(Stage::TlsHello, Effect::Cut));
    select(&pool).await;

    let stats = pool.stats();
    assert_eq!((stats.opened, stats.failed), (1, 0));
    let failed: Vec<_> = stats
        .failed_attempts
        .iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    assert_eq!(failed, [(Reason::WakingUp, 1), (Reason::Interrupted, 1)]);
    assert_eq!(
        (stats.credentials_fetched, stats.credentials_failed),
        (1, 0)
    );
    assert_eq!(stats.tokens_signed, 3);
    assert!(stats.create_time > Duration::ZERO);
}

#[tokio::test]
async fn use_time_ends_with_the_return() {
    let (_cluster, pool) = cluster_with_pool().await;
    let before = pool.stats().use_time;
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(pool.stats().use_time, before);
    drop(connection);
    assert!(pool.stats().use_time > before);
}
