//! Clusters, pools and fakes that most tests use.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::TimeSource;
use dsql_conn::{Builder, Config, Pool};
use dsql_local::{Counts, Identity, LocalCluster};
use tokio::net::UdpSocket;

/// Starts a cluster for one test.
pub(crate) async fn cluster() -> LocalCluster {
    LocalCluster::start()
        .await
        .expect("the tests need a PostgreSQL on this machine")
}

/// A configuration for the cluster's administrator. Its timeouts are long; a test that waits for a
/// timeout sets its own.
pub(crate) fn config(cluster: &LocalCluster) -> Config {
    let endpoint = cluster.endpoint().parse().expect("the cluster's own");
    Config::new(endpoint)
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()))
        .connect_timeout(Duration::from_secs(60))
}

/// The settings of a pool. Its timeouts are long as well.
pub(crate) fn builder(config: Config) -> Builder {
    Pool::builder(config)
        .checkout_timeout(Duration::from_secs(60))
        .ping_timeout(Duration::from_secs(60))
        .hedge_delay(Duration::from_secs(60))
        .settle_timeout(Duration::from_secs(60))
}

pub(crate) fn credentials(identity: &Identity) -> Credentials {
    Credentials::new(
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().map(str::to_owned),
        None,
        "test",
    )
}

/// A pool of this size, for the administrator.
pub(crate) fn pool(cluster: &LocalCluster, size: u32) -> Pool {
    builder(config(cluster)).max_size(size).build()
}

/// A cluster with an empty table, and a pool of one connection.
pub(crate) async fn cluster_with_pool() -> (LocalCluster, Pool) {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE note (text text PRIMARY KEY)")
        .await
        .unwrap();
    drop(connection);
    (cluster, pool)
}

/// The number of rows in `note`.
pub(crate) async fn notes(cluster: &LocalCluster) -> usize {
    cluster.query("SELECT text FROM note").await.unwrap().len()
}

/// A pool of one connection, and the clock that it reads.
pub(crate) fn clocked_pool(cluster: &LocalCluster) -> (Clock, Pool) {
    let clock = Clock::default();
    let config = config(cluster).time_source(clock.clone());
    (clock, builder(config).max_size(1).build())
}

/// What the client sent on its only connection, without the driver's own `Close` messages, whose
/// replies are not awaited.
pub(crate) fn flights(cluster: &LocalCluster) -> Vec<String> {
    let connections = cluster.connections();
    assert_eq!(connections.len(), 1, "one connection");
    let flights = connections[0].flights.iter();
    flights.filter(|flight| *flight != "CS").cloned().collect()
}

/// A provider that counts its calls.
#[derive(Debug, Clone)]
pub(crate) struct Counting {
    credentials: Credentials,
    asked: Arc<AtomicU32>,
}

impl Counting {
    pub(crate) fn new(identity: &Identity) -> Self {
        Self {
            credentials: credentials(identity),
            asked: Arc::default(),
        }
    }

    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for Counting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(self.credentials.clone())
        })
    }
}

/// A provider whose credentials the test replaces.
#[derive(Debug, Clone)]
pub(crate) struct Rotating(pub(crate) Arc<Mutex<Credentials>>);

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(self.0.lock().unwrap().clone()))
    }
}

/// A clock that only the test moves, forwards or back. It starts at the real time, by which the
/// cluster checks tokens.
#[derive(Debug, Clone)]
pub(crate) struct Clock(Arc<Mutex<SystemTime>>);

impl Clock {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }

    pub(crate) fn set(&self, time: SystemTime) {
        *self.0.lock().unwrap() = time;
    }

    pub(crate) fn step_back(&self, by: Duration) {
        *self.0.lock().unwrap() -= by;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(SystemTime::now())))
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap()
    }
}

/// Waits until the cluster has observed the condition. A client's action always reaches the
/// cluster, but later.
pub(crate) async fn until(cluster: &LocalCluster, condition: impl Fn(&Counts) -> bool) {
    let seen = async {
        while !condition(&cluster.counts()) {
            tokio::task::yield_now().await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(60), seen).await;
    assert!(seen.is_ok(), "never seen: {:?}", cluster.counts());
}

/// Waits until this side knows which of its connections to a port the server has closed. A busy
/// system delivers the end of a stream later than the server closes it.
pub(crate) async fn ends_arrive(port: u16) {
    while an_end_is_in_flight(port) {
        tokio::task::yield_now().await;
    }
    next_packet().await;
}

/// Whether only the client's side of a connection is established, by the table of the system. Other
/// systems than Linux have no such table.
fn an_end_is_in_flight(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let established: HashSet<_> = table
        .lines()
        .map(|line| line.split_whitespace().skip(1))
        .filter_map(|mut fields| Some((fields.next()?, fields.next()?, fields.next()?)))
        .filter(|(_, _, state)| *state == ESTABLISHED)
        .map(|(local, remote, _)| (local, remote))
        .collect();
    let port = format!(":{port:04X}");
    established
        .iter()
        .any(|(local, remote)| remote.ends_with(&port) && !established.contains(&(*remote, *local)))
}

/// Waits for a packet. The runtime then also sees everything that arrived before it.
pub(crate) async fn next_packet() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    socket.send_to(b"packet", address).await.unwrap();
    socket.recv(&mut [0; 6]).await.unwrap();
}

/// Checks out a connection and uses it.
pub(crate) async fn select(pool: &Pool) {
    let connection = pool.get().await.unwrap();
    connection.batch_execute("SELECT 1").await.unwrap();
}
