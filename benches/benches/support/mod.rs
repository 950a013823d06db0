//! What the measurements share: a cluster, the compared pools, and the evaluation of times.

pub(crate) mod peers;
pub(crate) mod samples;
pub(crate) mod warm;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use benches::Relay;
use dsql_local::{Action, LocalCluster, sign};
use tokio::runtime::{Builder, Runtime};

/// Starts a cluster without limits on connections, on threads of its own.
pub(crate) fn cluster() -> LocalCluster {
    let starting = LocalCluster::builder()
        .connection_rate(1_000_000, 1_000_000)
        .schema_conflicts(false)
        .start();
    runtime()
        .block_on(starting)
        .expect("the benches need a PostgreSQL on this machine")
}

/// The runtime of a Lambda function: one thread.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// How clients reach a cluster.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Target {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) address: SocketAddr,
    pub(crate) ca_pem: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
    /// For pools that take a password instead of a signer.
    pub(crate) token: String,
}

impl Target {
    pub(crate) fn of(cluster: &LocalCluster) -> Self {
        let admin = cluster.admin();
        Self {
            endpoint: cluster.endpoint().to_owned(),
            region: cluster.region().to_owned(),
            address: cluster.address(),
            ca_pem: cluster.ca_pem().to_owned(),
            access_key_id: admin.access_key_id().to_owned(),
            secret_access_key: admin.secret_access_key().to_owned(),
            session_token: admin.session_token().map(str::to_owned),
            token: sign(
                admin,
                cluster.endpoint(),
                cluster.region(),
                Action::DbConnectAdmin,
                SystemTime::now(),
                Duration::from_secs(86_400),
            ),
        }
    }

    /// The same cluster behind a relay.
    pub(crate) fn through(&self, relay: &Relay) -> Self {
        Self {
            address: relay.address(),
            ..self.clone()
        }
    }
}
