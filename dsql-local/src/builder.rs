//! What a cluster is told before it starts, and how its parts come together.
//! `local` hands the builder out, and is what comes of it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::count::Ledger;
use crate::engine::{Engine, EngineError};
use crate::fault::Faults;
use crate::front;
use crate::gate::{Gate, Quotas, WakeUp};
use crate::host::Hosts;
use crate::identity::{ACCOUNT, Action, Directory, Identity};
use crate::local::LocalCluster;
use crate::random;
use crate::schema::Schema;
use crate::uptime::Uptime;

/// What a cluster may be told before it starts.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    port: u16,
    region: String,
    private_link: Option<String>,
    login_deadline: Duration,
    transaction_age: Duration,
    schema_conflicts: bool,
    session_limit: Duration,
    quotas: Quotas,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            port: 0,
            region: "us-east-1".to_owned(),
            private_link: None,
            login_deadline: Duration::from_secs(30),
            transaction_age: Duration::from_secs(300),
            schema_conflicts: true,
            session_limit: Duration::from_secs(3_600),
            quotas: Quotas::default(),
        }
    }
}

impl Builder {
    /// Sets the port on 127.0.0.1. Defaults to a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the Region. Defaults to `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Lets clients in by PrivateLink, too: by the name `<id>.dsql-<suffix>.<region>.on.aws`, or by a VPC
    /// endpoint's, with the startup option `-c amzn-cluster-id=<id>`. Defaults to none.
    pub fn private_link(mut self, suffix: impl Into<String>) -> Self {
        self.private_link = Some(suffix.into());
        self
    }

    /// Sets how long a client may take from connect to login. Defaults to 30 seconds.
    pub fn login_deadline(mut self, deadline: Duration) -> Self {
        self.login_deadline = deadline;
        self
    }

    /// Sets how long a transaction may stay open. Defaults to 300 seconds.
    pub fn transaction_age(mut self, limit: Duration) -> Self {
        self.transaction_age = limit;
        self
    }

    /// Sets how old a session may grow. One that is older is closed without a word: at once if it is idle,
    /// else when its transaction ends, or has had its [`transaction_age`](Self::transaction_age).
    /// Defaults to 60 minutes.
    pub fn session_limit(mut self, limit: Duration) -> Self {
        self.session_limit = limit;
        self
    }

    /// Sets how many connections may come at once, and how many more with each second.
    /// Defaults to 1,000 and 100.
    pub fn connection_rate(mut self, burst: u32, per_second: u32) -> Self {
        self.quotas.burst = burst;
        self.quotas.per_second = per_second;
        self
    }

    /// Sets how many sessions may be open. Defaults to 10,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.quotas.connections = connections;
        self
    }

    /// Sets what a cluster that was put to [`sleep`](LocalCluster::sleep) wakes up by.
    /// Defaults to one refused connection.
    pub fn wake_up(mut self, wake_up: WakeUp) -> Self {
        self.quotas.wake_up = wake_up;
        self
    }

    /// Sets whether a definition that is committed fails the next statement of every other session, once
    /// ([`Refusal::SchemaChanged`](crate::Refusal::SchemaChanged)). Defaults to true, as it does in the service.
    pub fn schema_conflicts(mut self, conflicts: bool) -> Self {
        self.schema_conflicts = conflicts;
        self
    }

    /// Starts the cluster and its engine.
    ///
    /// # Errors
    ///
    /// [`StartError`] names what is missing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(self) -> Result<LocalCluster, StartError> {
        let engine = tokio::task::spawn_blocking(|| Engine::start(None))
            .await
            .expect("starting the engine does not panic")?;
        let cluster_id = random::text(26, CLUSTER_ID);
        let hosts = Hosts::new(
            cluster_id.clone(),
            &self.region,
            self.private_link.as_deref(),
        );
        let certificates = Certificates::for_hosts(&hosts)?;
        let cluster = Arc::new(Cluster {
            arn: format!(
                "arn:aws:dsql:{}:{ACCOUNT}:cluster/{cluster_id}",
                self.region
            ),
            region: self.region,
            login_deadline: self.login_deadline,
            tls: certificates.server_config(&hosts),
            clock: Clock::default(),
            uptime: Uptime::default(),
            transaction_age: self.transaction_age,
            schema: Schema::new(self.schema_conflicts),
            session_limit: self.session_limit,
            gate: Gate::new(self.quotas),
            directory: Directory::default(),
            faults: Faults::default(),
            ledger: Arc::new(Ledger::default()),
            fate: watch::Sender::default(),
            superuser: engine.superuser(),
            socket: engine.socket(),
            engine_ended: engine.ended(),
            hosts,
        });
        let admin = Identity::role("admin");
        let both = [Action::DbConnect, Action::DbConnectAdmin];
        cluster.directory.put(admin.clone(), &both);

        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).map_err(|source| {
                StartError::Listen {
                    port: self.port,
                    source,
                }
            })?;
        let listen = |source| StartError::Listen {
            port: self.port,
            source,
        };
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // A listener belongs to the runtime that it is registered on: the engine's, not the caller's.
        let _on_the_engines = engine.runtime().enter();
        let listener = TcpListener::from_std(listener).map_err(listen)?;
        let front = tokio::spawn(front::listen(listener, cluster.clone())).abort_handle();
        Ok(LocalCluster {
            cluster,
            certificates,
            admin,
            address,
            front,
            engine,
        })
    }
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The port is taken, or not ours to take.
    #[error(
        "could not listen on 127.0.0.1:{port}: {source}; choose another port, or 0 for a free one"
    )]
    Listen {
        /// The port.
        port: u16,
        /// What the system said.
        source: std::io::Error,
    },
    /// No certificate, for a Region that makes no host name.
    #[error("no certificate for this Region: {0}")]
    Certificate(#[from] rcgen::Error),
}

const CLUSTER_ID: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
