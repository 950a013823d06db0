//! Connections in pools of bb8, and of deadpool with its feature.

#[cfg(feature = "deadpool")]
mod deadpool;

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aws_credential_types::provider::{ProvideCredentials, future};
use dsql_conn::bb8::{self, AddError, ErrorSink, RunError};
use dsql_conn::{Config, Connection, ConnectionManager, Discard, Error, Reason};
use dsql_local::{Fault, LocalCluster};
use futures_util::FutureExt;
use tokio::task::yield_now;

use crate::support::{Clock, Counting, cluster, config, credentials, flights, notes, until};

const HOUR: Duration = Duration::from_secs(3_600);

/// A provider that panics.
#[derive(Debug)]
struct Panicking;

impl ProvideCredentials for Panicking {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        panic!("on purpose")
    }
}

/// Checks that the connections of a pool share a token and cache their statements.
async fn sign_and_cache<C, Fut>(cluster: &LocalCluster, provider: &Counting, get: impl Fn() -> Fut)
where
    C: Deref<Target = Connection>,
    Fut: Future<Output = C>,
{
    for _ in 0..3 {
        let connection = get().await;
        connection.query_one("SELECT 1", &[]).await.unwrap();
    }
    assert_eq!(provider.asked(), 1);
    assert_eq!(flights(cluster), ["PDS", "BES", "BES", "BES"]);
}

/// Checks that a pool checks out no connection on which a transaction was left open.
async fn stay_clean<C, Fut>(cluster: &LocalCluster, get: impl Fn() -> Fut)
where
    C: Deref<Target = Connection>,
    Fut: Future<Output = C>,
{
    let connection = get().await;
    connection
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    drop(connection);
    let connection = get().await;
    connection
        .execute("INSERT INTO note VALUES ('kept')", &[])
        .await
        .unwrap();
    assert_eq!((notes(cluster).await, cluster.counts().logins), (1, 2));
}

/// A bb8 pool of one connection.
fn bb8_pool(manager: ConnectionManager) -> bb8::Pool<ConnectionManager> {
    bb8::Pool::builder().max_size(1).build_unchecked(manager)
}

#[tokio::test]
async fn bb8_connections_sign_tokens_and_cache_statements() {
    let cluster = cluster().await;
    let provider = Counting::new(cluster.admin());
    let pool = bb8_pool(ConnectionManager::new(
        config(&cluster).credentials(provider.clone()),
    ));
    let pool = &pool;
    sign_and_cache(&cluster, &provider, || async { pool.get().await.unwrap() }).await;
}

#[tokio::test]
async fn bb8_replaces_an_expired_connection() {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = bb8_pool(ConnectionManager::new(
        config(&cluster).time_source(clock.clone()),
    ));
    drop(pool.get().await.unwrap());
    for by in [HOUR, HOUR] {
        clock.advance(by);
        cluster.clock().advance(by);
        let connection = pool.get().await.unwrap();
        assert!(!connection.is_closed());
        // Expired on return.
        clock.advance(by);
        cluster.clock().advance(by);
    }
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 4);
}

#[tokio::test]
async fn bb8_does_not_check_out_a_dirty_connection() {
    let cluster = cluster().await;
    let pool = bb8_pool(ConnectionManager::new(config(&cluster)));
    let pool = &pool;
    stay_clean(&cluster, || async { pool.get().await.unwrap() }).await;
}

/// Keeps the errors that bb8 does not return.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<Error>>>);

impl ErrorSink<Error> for Kept {
    fn sink(&self, error: Error) {
        self.0.lock().unwrap().push(error);
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<Error>> {
        Box::new(self.clone())
    }
}

#[tokio::test]
async fn bb8_reports_why_it_discarded_a_connection() {
    let cluster = cluster().await;
    let kept = Kept::default();
    let pool = bb8::Pool::builder()
        .max_size(1)
        .error_sink(kept.boxed_clone())
        .build_unchecked(ConnectionManager::new(config(&cluster)));
    let connection = pool.get().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    drop(connection);
    drop(pool.get().await.unwrap());
    let kept = kept.0.lock().unwrap();
    let [Error::Discarded(Discard::InTransaction)] = kept[..] else {
        panic!("{kept:?}");
    };
}

#[tokio::test]
async fn bb8_connections_run_transactions() {
    let cluster = cluster().await;
    let pool = bb8_pool(ConnectionManager::new(config(&cluster)));
    let mut connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text PRIMARY KEY)")
        .await
        .unwrap();
    cluster.inject(Fault::conflict_commits(2));
    let runs = AtomicU32::new(0);
    let transaction = connection.transaction(async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await
    });
    assert_eq!(transaction.await.unwrap(), 1);
    assert_eq!((runs.into_inner(), notes(&cluster).await), (3, 1));
    drop(connection);
    drop(pool.get().await.unwrap());
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn bb8_pools_of_one_configuration_are_shared() {
    let cluster = cluster().await;
    let config = config(&cluster);
    for _ in 0..2 {
        drop(
            ConnectionManager::shared_pool(config.clone())
                .get()
                .await
                .unwrap(),
        );
    }
    assert_eq!(cluster.counts().logins, 1);
    let other = config.search_path("games");
    drop(ConnectionManager::shared_pool(other).get().await.unwrap());
    assert_eq!(cluster.counts().logins, 2);
}

#[tokio::test]
async fn bb8_loses_no_slot_to_a_panicking_provider() {
    let cluster = cluster().await;
    let manager = ConnectionManager::new(config(&cluster).credentials(Panicking));
    let pool = bb8::Pool::builder()
        .max_size(1)
        .retry_connection(false)
        .connection_timeout(Duration::from_millis(500))
        .build_unchecked(manager);
    for _ in 0..2 {
        // bb8 does not report the reason.
        assert!(matches!(pool.get().await, Err(RunError::TimedOut)));
    }
    // The slot is free for a connection that is added by hand.
    let spare = config(&cluster).connect().await.unwrap();
    until(&cluster, |_| pool.state().connections == 0).await;
    assert!(pool.add(spare).is_ok());
    pool.get()
        .await
        .unwrap()
        .query_one("SELECT 1", &[])
        .await
        .unwrap();

    let error = pool.dedicated_connection().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Aborted), "{error}");
}

#[tokio::test]
async fn bb8s_errors_become_ours() {
    async fn one(pool: &bb8::Pool<ConnectionManager>) -> Result<i32, Error> {
        Ok(pool.get().await?.query_one("SELECT 1", &[]).await?.get(0))
    }

    let cluster = cluster().await;
    let pool = bb8::Pool::builder()
        .max_size(1)
        .connection_timeout(Duration::from_millis(100))
        .build_unchecked(ConnectionManager::new(config(&cluster)));
    let connection = bb8_pool(ConnectionManager::new(config(&cluster)));
    assert_eq!(one(&connection).await.unwrap(), 1);
    pool.add(config(&cluster).connect().await.unwrap()).unwrap();
    let held = pool.get().await.unwrap();
    let error = one(&pool).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::CheckoutTimeout {
                waited: None,
                cause: None
            }
        ),
        "{error}"
    );
    drop(held);
    let error = Error::from(RunError::User(Error::PoolClosed));
    assert!(matches!(error, Error::PoolClosed));
}

#[tokio::test]
async fn connection_used_after_bb8_refused_it_is_checked_again() {
    let cluster = cluster().await;
    let setup = config(&cluster).connect().await.unwrap();
    setup
        .batch_execute("CREATE TABLE note (text text)")
        .await
        .unwrap();
    let manager = ConnectionManager::new(config(&cluster));
    let pool = bb8::Pool::builder().max_size(1).build_unchecked(manager);
    let spare = config(&cluster).connect().await.unwrap();
    spare.batch_execute("SELECT 1").await.unwrap();
    let full = config(&cluster).connect().await.unwrap();
    pool.add(full).unwrap();
    let Err(AddError::NoCapacity(spare)) = pool.add(spare) else {
        panic!("there was no capacity");
    };
    let held = pool.get().await.unwrap();
    let row = held
        .query_one("SELECT pg_backend_pid()", &[])
        .await
        .unwrap();
    let end = format!("SELECT pg_terminate_backend({})", row.get::<_, i32>(0));
    cluster.query(&end).await.unwrap();
    while !held.is_closed() {
        yield_now().await;
    }
    drop(held);

    assert!(spare.batch_execute("BEGIN").now_or_never().is_none());
    assert!(pool.add(spare).is_ok());
    let next = pool.get().await.unwrap();
    next.execute("INSERT INTO note VALUES ('kept')", &[])
        .await
        .unwrap();
    let kept = cluster.query("SELECT count(*) FROM note").await.unwrap();
    assert_eq!(kept[0][0].as_deref(), Some("1"));
}

#[tokio::test]
async fn bb8s_dedicated_connection_verifies_the_server() {
    let cluster = cluster().await;
    // Without the cluster's authority, only the built-in ones are trusted.
    let config = Config::new(cluster.endpoint().parse().unwrap())
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .credentials(credentials(cluster.admin()));
    let pool = bb8_pool(ConnectionManager::new(config));
    let error = pool.dedicated_connection().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::Certificate), "{error}");
    assert_eq!(cluster.counts().logins, 0);
}

/// The guide warns of it.
#[tokio::test]
async fn bb8_refills_only_inside_a_runtime() {
    let cluster = cluster().await;
    let pool = bb8::Pool::builder()
        .max_size(1)
        .min_idle(1)
        .build_unchecked(ConnectionManager::new(config(&cluster)));
    let connection = pool.get_owned().await.unwrap();
    cluster.cut_all();
    while !connection.is_closed() {
        yield_now().await;
    }
    let dropped = thread::spawn(move || drop(connection)).join();
    let panic = dropped.unwrap_err();
    let said = panic.downcast_ref::<String>().map_or("", String::as_str);
    assert!(said.contains("no reactor running"), "{said}");
}

#[tokio::test]
async fn manager_serves_a_bb8_pool() {
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
