//! Connections in deadpool's pool.

use dsql_conn::DeadpoolManager;
use dsql_conn::deadpool::managed::{
    Hook, HookError, Manager, Metrics, Pool, PoolError, RecycleError, Timeouts,
};

use dsql_local::Refusal;

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
    let pool = &pool;
    sign_and_cache(&cluster, &provider, || async { pool.get().await.unwrap() }).await;
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
    let pool = &pool;
    stay_clean(&cluster, || async { pool.get().await.unwrap() }).await;
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

#[tokio::test]
async fn deadpools_errors_become_ours() {
    async fn one(pool: &Pool<DeadpoolManager>, wait: Option<Duration>) -> Result<i32, Error> {
        let timeouts = Timeouts {
            wait,
            ..Timeouts::new()
        };
        let connection = pool.timeout_get(&timeouts).await?;
        Ok(connection.query_one("SELECT 1", &[]).await?.get(0))
    }

    let cluster = cluster().await;
    let manager = || DeadpoolManager::new(config(&cluster));
    let pool = pool(manager());
    assert_eq!(one(&pool, None).await.unwrap(), 1);
    let held = pool.get().await.unwrap();
    let error = one(&pool, Some(Duration::ZERO)).await.unwrap_err();
    let Error::CheckoutTimeout {
        waited: None,
        cause: None,
    } = error
    else {
        panic!("{error}");
    };
    let error = one(&pool, Some(HOUR)).await.unwrap_err();
    let expected = "deadpool's runtime is \"none\"; it must be set, because a timeout needs it";
    assert_eq!(error.to_string(), expected);
    drop(held);
    pool.close();
    let error = one(&pool, None).await.unwrap_err();
    assert!(matches!(error, Error::PoolClosed), "{error}");

    cluster.inject(Fault::refuse(Refusal::NoSni));
    let error = one(&self::pool(manager()), None).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::ServerNameMissing), "{error}");
    for (refusal, expected) in [
        (HookError::Message("full moon".into()), "\"full moon\""),
        (HookError::Backend(Error::NoRow), "no row"),
    ] {
        let refusal = Mutex::new(Some(refusal));
        let hook = Hook::sync_fn(move |_, _| Err(refusal.lock().unwrap().take().unwrap()));
        let pool = Pool::builder(manager()).post_create(hook).build().unwrap();
        let error = one(&pool, None).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
