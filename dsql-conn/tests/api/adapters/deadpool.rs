//! Connections in deadpool's pool.

use dsql_conn::DeadpoolManager;
use dsql_conn::deadpool::managed::{Manager, Metrics, Pool, PoolError, RecycleError};

use super::*;

/// A deadpool of one connection.
fn pool(manager: DeadpoolManager) -> Pool<DeadpoolManager> {
    Pool::builder(manager).max_size(1).build().unwrap()
}

#[tokio::test]
async fn connections_sign_tokens_and_cache_statements() {
    let cluster = cluster().await;
    let provider = Counting::new(cluster.admin());
    let pool = pool(DeadpoolManager::new(
        config(&cluster).credentials(provider.clone()),
    ));
    for _ in 0..3 {
        let connection = pool.get().await.unwrap();
        connection.query_one("SELECT 1", &[]).await.unwrap();
    }
    assert_eq!(provider.asked(), 1);
    assert_eq!(flights(&cluster), ["PDS", "BES", "BES", "BES"]);
}

#[tokio::test]
async fn expired_connection_is_replaced() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = pool(DeadpoolManager::new(
        config(&cluster).time_source(clock.clone()),
    ));
    drop(pool.get().await.unwrap());
    clock.advance(HOUR);
    cluster.clock().advance(HOUR);
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn dirty_connection_is_not_checked_out() {
    let cluster = cluster().await;
    let pool = pool(DeadpoolManager::new(config(&cluster)));
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    drop(connection);
    let connection = pool.get().await.unwrap();
    connection
        .execute("INSERT INTO note VALUES ('kept')", &[])
        .await
        .unwrap();
    assert_eq!((notes(&cluster).await, cluster.counts().logins), (1, 2));
}

#[tokio::test]
async fn manager_reports_why_it_does_not_recycle() {
    let cluster = cluster().await;
    let manager = DeadpoolManager::new(config(&cluster));
    let mut connection = manager.create().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    let recycled = manager.recycle(&mut connection, &Metrics::default()).await;
    let Err(RecycleError::Backend(Error::Discarded(Discard::InTransaction))) = recycled else {
        panic!("{recycled:?}");
    };
}

#[tokio::test]
async fn connections_run_transactions() {
    let cluster = cluster().await;
    let pool = pool(DeadpoolManager::new(config(&cluster)));
    let mut connection = pool.get().await.unwrap();
    let create = "CREATE TABLE note (text text PRIMARY KEY)";
    connection.batch_execute(create).await.unwrap();
    cluster.inject(Fault::conflict_commits(2));
    let runs = AtomicU32::new(0);
    let transaction = connection.transaction(async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await
    });
    assert_eq!(transaction.await.unwrap(), 1);
    assert_eq!((runs.into_inner(), notes(&cluster).await), (3, 1));
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn panicking_provider_loses_no_slot() {
    let cluster = cluster().await;
    let pool = pool(DeadpoolManager::new(
        config(&cluster).credentials(Panicking),
    ));
    for _ in 0..2 {
        let Err(PoolError::Backend(error)) = pool.get().await else {
            panic!("the provider panics");
        };
        assert_eq!(error.reason(), Some(Reason::Aborted), "{error}");
    }
    assert_eq!(pool.status().size, 0);
}
