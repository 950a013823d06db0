//! The local cluster that tests and the binary start: everything public comes together here.
//! It wires engine, certificates and front, and stops them when it is dropped.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_postgres::SimpleQueryMessage;

use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::cluster::{Cluster, Fate};
use crate::count::{ConnectionLog, Counts, Ledger};
use crate::engine::{Engine, EngineError};
use crate::fault::{Fault, Faults};
use crate::front;
use crate::identity::{ACCOUNT, Action, Directory, Identity};
use crate::random;
use crate::schema::Schema;
use crate::uptime::Uptime;

/// A cluster on this machine, stopped when it is dropped.
///
/// It works on threads of its own: it can be shared between tests with a runtime each, and a test that
/// pauses its clock does not pause the cluster's.
pub struct LocalCluster {
    cluster: Arc<Cluster>,
    certificates: Certificates,
    admin: Identity,
    address: SocketAddr,
    front: AbortHandle,
    engine: Arc<Engine>,
}

impl LocalCluster {
    /// Starts a cluster on a free port.
    ///
    /// # Errors
    ///
    /// [`StartError::Engine`] without PostgreSQL on the machine; it names the command to install one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a builder, for a port, a Region or a deadline of the caller's choice.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Returns the host name, which tokens are signed for and TLS must name.
    pub fn endpoint(&self) -> &str {
        &self.cluster.endpoint
    }

    /// Returns the 26 characters that the endpoint begins with.
    pub fn cluster_id(&self) -> &str {
        self.cluster.endpoint.split('.').next().unwrap_or_default()
    }

    /// Returns the Region.
    pub fn region(&self) -> &str {
        &self.cluster.region
    }

    /// Returns the cluster's ARN.
    pub fn arn(&self) -> &str {
        &self.cluster.arn
    }

    /// Returns where the endpoint is to be dialed.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate authority to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.certificates.ca_pem
    }

    /// Returns the certificate authority to trust, as DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.certificates.ca_der
    }

    /// Returns a folder that only the engine's user and root can enter, and that goes with the engine,
    /// even if this process is killed. It holds files that belong to a cluster.
    pub fn folder(&self) -> &Path {
        self.engine.socket_directory()
    }

    /// Returns an IAM role that is allowed both actions.
    pub fn admin(&self) -> &Identity {
        &self.admin
    }

    /// Creates an IAM role, with a session token, that is allowed these actions.
    pub fn identity(&self, name: &str, allowed: &[Action]) -> Identity {
        self.register(Identity::role(name), allowed)
    }

    /// Creates an IAM user, without session token, that is allowed these actions.
    pub fn iam_user(&self, name: &str, allowed: &[Action]) -> Identity {
        self.register(Identity::user(name), allowed)
    }

    /// Makes an identity of the caller's known, or changes what it is allowed.
    pub fn register(&self, identity: Identity, allowed: &[Action]) -> Identity {
        self.cluster.directory.put(identity.clone(), allowed);
        identity
    }

    /// Makes an identity's access key unknown, as when temporary credentials expire.
    pub fn forget(&self, identity: &Identity) {
        self.cluster.directory.remove(identity.access_key_id());
    }

    /// Returns the clock that tokens are judged by.
    pub fn clock(&self) -> &Clock {
        &self.cluster.clock
    }

    /// Makes the sessions and transactions that are open this much older, at once, and lets the connection
    /// rate recover for this long. Tokens have a [`clock`](Self::clock) of their own.
    pub fn pass_time(&self, by: Duration) {
        self.cluster.uptime.advance(by);
    }

    /// Fails the next statement of every session that has run one, as a definition by another session does.
    pub fn change_schema(&self) {
        self.cluster.schema.change();
    }

    /// Runs SQL as superuser, past the front and its rules, and returns the rows as text.
    ///
    /// # Errors
    ///
    /// What PostgreSQL said.
    ///
    /// # Cancel safety
    ///
    /// The SQL may run all the same.
    pub async fn query(
        &self,
        sql: &str,
    ) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let messages = self.cluster.superuser.simple_query(sql).await?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let columns = 0..row.len();
                Some(
                    columns
                        .map(|index| row.get(index).map(str::to_owned))
                        .collect(),
                )
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Adds a fault. Faults of a kind are due in the order in which they were added.
    pub fn inject(&self, fault: Fault) {
        self.cluster.faults.add(fault);
    }

    /// Removes the faults that are not due yet or always due. Stalled connections stay stalled.
    pub fn clear_faults(&self) {
        self.cluster.faults.clear();
    }

    /// Ends all stalls and black holes: their sockets close.
    pub fn release(&self) {
        self.cluster.faults.release();
    }

    /// Closes every open socket, without a word.
    pub fn cut_all(&self) {
        self.cluster.fate.send_replace(Fate::Cut);
    }

    /// Closes every open socket with a reset.
    pub fn reset_all(&self) {
        self.cluster.fate.send_replace(Fate::Reset);
    }

    /// Leaves every open socket open, and reads and answers nothing more until they are released.
    pub fn black_hole_all(&self) {
        self.cluster.fate.send_replace(Fate::BlackHole);
    }

    /// Returns what was counted so far.
    pub fn counts(&self) -> Counts {
        self.cluster.ledger.counts()
    }

    /// Returns what became of each connection, in the order in which they were accepted.
    pub fn connections(&self) -> Vec<ConnectionLog> {
        self.cluster.ledger.connections()
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.front.abort();
        self.cluster.fate.send_replace(Fate::Cut);
        // The last cluster's engine takes the data along.
        if Arc::strong_count(&self.engine) > 1 {
            let maintenance = self.engine.maintenance();
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.cluster.database);
            self.engine.runtime().spawn(async move {
                if let Err(error) = maintenance.batch_execute(&drop).await {
                    tracing::debug!(%error, "a cluster's database stays until its engine stops");
                }
            });
        }
    }
}

impl std::fmt::Debug for LocalCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalCluster")
            .field("endpoint", &self.endpoint())
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a cluster may be told before it starts.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    port: u16,
    region: String,
    login_deadline: Duration,
    transaction_age: Duration,
    schema_conflicts: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            port: 0,
            region: "us-east-1".to_owned(),
            login_deadline: Duration::from_secs(30),
            transaction_age: Duration::from_secs(300),
            schema_conflicts: true,
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

    /// Sets whether a definition that is committed fails the next statement of every other session, once
    /// ([`Refusal::SchemaChanged`](crate::Refusal::SchemaChanged)). Defaults to true, as it does in the service.
    pub fn schema_conflicts(mut self, conflicts: bool) -> Self {
        self.schema_conflicts = conflicts;
        self
    }

    /// Starts the cluster, and the engine if this process has none yet.
    ///
    /// # Errors
    ///
    /// [`StartError`] names what is missing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn start(self) -> Result<LocalCluster, StartError> {
        let engine = tokio::task::spawn_blocking(Engine::shared)
            .await
            .expect("starting the engine does not panic")?;
        let cluster_id = random::text(26, CLUSTER_ID);
        let endpoint = format!("{cluster_id}.dsql.{}.on.aws", self.region);
        let certificates = Certificates::for_host(&endpoint)?;
        let database = format!("dsql_{cluster_id}");
        let cluster = Arc::new(Cluster {
            arn: format!(
                "arn:aws:dsql:{}:{ACCOUNT}:cluster/{cluster_id}",
                self.region
            ),
            region: self.region,
            login_deadline: self.login_deadline,
            tls: certificates.server_config(&endpoint),
            clock: Clock::default(),
            uptime: Uptime::default(),
            transaction_age: self.transaction_age,
            schema: Schema::new(self.schema_conflicts),
            directory: Directory::default(),
            faults: Faults::default(),
            ledger: Arc::new(Ledger::default()),
            fate: watch::Sender::default(),
            superuser: engine.create_database(&database).await?,
            socket: engine.socket(),
            database,
            endpoint,
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
