//! The handle to a running cluster, which tests and the binary hold. `builder` creates it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::task::AbortHandle;
use tokio_postgres::SimpleQueryMessage;

use crate::engine::Engine;
use crate::faults::Fault;
use crate::iam::clock::Clock;
use crate::iam::identity::{Action, Identity};
use crate::server::certificate::Certificates;
use crate::server::cluster::{Cluster, Disruption};
use crate::server::control;
use crate::server::log::{ConnectionLog, Counts};

/// A cluster on this machine, stopped when it is dropped.
///
/// The cluster runs on its own threads: tests with a runtime each can share it, and a test that
/// pauses its clock does not pause the cluster.
pub struct LocalCluster {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) certificates: Certificates,
    pub(crate) admin: Identity,
    pub(crate) address: SocketAddr,
    pub(crate) listener: AbortHandle,
    /// The server of the other Region.
    pub(crate) peer: Option<Box<Self>>,
    pub(crate) engine: Arc<Engine>,
}

impl LocalCluster {
    /// Returns the host name, for TLS and for signing tokens.
    pub fn endpoint(&self) -> &str {
        &self.cluster.hosts.public
    }

    /// Returns the host name in the private domain, if the cluster has
    /// [`private_link`](crate::Builder::private_link). TLS and tokens can use it instead.
    pub fn private_endpoint(&self) -> Option<&str> {
        self.cluster.hosts.private.as_deref()
    }

    /// Returns the 26 characters that the endpoint begins with.
    pub fn cluster_id(&self) -> &str {
        &self.cluster.hosts.id
    }

    /// Returns the Region.
    pub fn region(&self) -> &str {
        &self.cluster.region
    }

    /// Returns the cluster in its other Region, if it has a
    /// [`peer_region`](crate::Builder::peer_region).
    pub fn peer(&self) -> Option<&Self> {
        self.peer.as_deref()
    }

    /// Returns the cluster's ARN.
    pub fn arn(&self) -> &str {
        &self.cluster.arn
    }

    /// Returns the address to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the certificate authority to trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.certificates.authority.certificate_pem
    }

    /// Returns the certificate authority to trust, as DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.certificates.ca_der
    }

    /// Returns a folder for files that belong to the cluster. Only the engine's user and root can
    /// enter it. It is removed together with the engine, even if this process is killed.
    pub fn folder(&self) -> &Path {
        self.engine.folder()
    }

    /// Returns the file in [`folder`](Self::folder) with the certificate authority to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.folder().join(CA_FILE)
    }

    /// Returns the environment variables with which a client finds the cluster, as its
    /// administrator: those of `dsql-conn` and of the AWS SDKs.
    ///
    /// `Config::from_variables(cluster.variables())` makes a configuration of `dsql-conn` from
    /// them, and [`Command::envs`](std::process::Command::envs) passes them to another process.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let admin = self.admin();
        let session_token = admin.session_token().unwrap_or_default();
        let mut variables = vec![
            ("DSQL_ENDPOINT", self.endpoint().to_owned()),
            ("DSQL_HOSTADDR", self.reachable_at().to_string()),
            ("DSQL_PORT", self.address().port().to_string()),
            ("DSQL_CA_FILE", self.ca_file().display().to_string()),
            ("AWS_REGION", self.region().to_owned()),
            ("AWS_ACCESS_KEY_ID", admin.access_key_id().to_owned()),
            (
                "AWS_SECRET_ACCESS_KEY",
                admin.secret_access_key().to_owned(),
            ),
            ("AWS_SESSION_TOKEN", session_token.to_owned()),
        ];
        if let Some(peer) = self.peer() {
            variables.extend([
                ("DSQL_PEER_ENDPOINT", peer.endpoint().to_owned()),
                ("DSQL_PEER_HOSTADDR", peer.reachable_at().to_string()),
                ("DSQL_PEER_PORT", peer.address().port().to_string()),
            ]);
        }
        variables
    }

    /// Returns the address to connect to. The listener's own address may be unspecified, such as
    /// 0.0.0.0.
    pub fn reachable_at(&self) -> IpAddr {
        match self.address().ip() {
            IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address,
        }
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

    /// Adds an identity to the cluster's account, or replaces the actions that it is allowed.
    pub fn register(&self, identity: Identity, allowed: &[Action]) -> Identity {
        self.cluster.directory.put(identity.clone(), allowed);
        identity
    }

    /// Removes an identity's access key, as if it had been deleted.
    pub fn forget(&self, identity: &Identity) {
        self.cluster.directory.remove(identity.access_key_id());
    }

    /// Ends the session of an identity's temporary credentials: tokens that they sign are refused
    /// with [`Flaw::SessionExpired`](crate::Flaw::SessionExpired). [`register`](Self::register)
    /// begins another session.
    pub fn expire(&self, identity: &Identity) {
        self.cluster.directory.expire(identity.access_key_id());
    }

    /// Returns the clock that tokens are checked by.
    pub fn clock(&self) -> &Clock {
        &self.cluster.clock
    }

    /// Makes open sessions and transactions this much older, and lets the connection rate recover
    /// for this long. Tokens have a [`clock`](Self::clock) of their own.
    pub fn pass_time(&self, by: Duration) {
        self.cluster.uptime.advance(by);
    }

    /// Fails the next statement of every session that has run one, like a definition of another
    /// session does with [`SchemaConflicts::Every`](crate::SchemaConflicts::Every).
    pub fn change_schema(&self) {
        self.cluster.schema.change(None, self.cluster.uptime.now());
    }

    /// Puts the cluster to sleep, as after a long time without connections: the next connections
    /// are refused with [`Refusal::WakingUp`](crate::Refusal::WakingUp) until it has woken up. Open
    /// sessions stay open.
    pub fn sleep(&self) {
        self.cluster.admission.sleep();
    }

    /// Runs SQL as the engine's superuser, without the service's rules, and returns the rows as
    /// text.
    ///
    /// # Errors
    ///
    /// PostgreSQL's error.
    ///
    /// # Cancel safety
    ///
    /// The SQL may still run when the future is dropped.
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

    /// Runs `CALL dsql_local.{call}`, as a session with `-c dsql_local.control=on` does, such as
    /// `inject('conflict', 3)` or `advance('1 hour')`.
    ///
    /// # Errors
    ///
    /// A message for the author of the call.
    pub fn control(&self, call: &str) -> Result<(), String> {
        control::call(&self.cluster, call)
    }

    /// Adds a fault. Faults of the same stage apply in the order in which they were added.
    pub fn inject(&self, fault: Fault) {
        self.cluster.faults.add(fault);
    }

    /// Removes all pending faults. Stalled connections stay stalled.
    pub fn clear_faults(&self) {
        self.cluster.faults.clear();
    }

    /// Returns how often a fault of this stage and effect was applied.
    pub fn struck(&self, fault: &Fault) -> u64 {
        self.cluster.faults.applied(fault)
    }

    /// Releases all stalled, slow and black-holed connections: their sockets close.
    pub fn release(&self) {
        self.cluster.faults.release();
    }

    /// Closes every open socket without an error message.
    pub fn cut_all(&self) {
        self.cluster.disruption.send_replace(Disruption::Cut);
    }

    /// Closes every open socket with a reset.
    pub fn reset_all(&self) {
        self.cluster.disruption.send_replace(Disruption::Reset);
    }

    /// Stops reading and writing on every open socket, and keeps it open, until
    /// [`release`](Self::release).
    pub fn black_hole_all(&self) {
        self.cluster.disruption.send_replace(Disruption::BlackHole);
    }

    /// Waits until the engine was killed or crashed, and returns the end of its log.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe.
    pub async fn engine_ended(&self) -> String {
        let mut ended = self.cluster.engine_ended.clone();
        // An error means that the cluster closed the superuser's connection itself.
        if ended.wait_for(|ended| *ended).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.engine.log()
    }

    /// Returns the current counters.
    pub fn counts(&self) -> Counts {
        self.cluster.log.counts()
    }

    /// Returns the log of each connection, in the order in which they were accepted.
    pub fn connections(&self) -> Vec<ConnectionLog> {
        self.cluster.log.connections()
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        self.listener.abort();
        self.cluster.disruption.send_replace(Disruption::Cut);
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

/// The name of the certificate authority's file in the cluster's folder.
pub(crate) const CA_FILE: &str = "ca.pem";
