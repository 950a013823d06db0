//! The local cluster that tests and the binary hold: what they read of it and what they do to it.
//! `builder` makes it of engine, certificates and front, which it stops when it is dropped.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::task::AbortHandle;
use tokio_postgres::SimpleQueryMessage;

use crate::builder::{Builder, StartError};
use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::cluster::{Cluster, Fate};
use crate::control;
use crate::count::{ConnectionLog, Counts};
use crate::engine::Engine;
use crate::fault::Fault;
use crate::identity::{Action, Identity};
use crate::script::{self, ScriptError};

/// A cluster on this machine, stopped when it is dropped.
///
/// It works on threads of its own: it can be shared between tests with a runtime each, and a test
/// that pauses its clock does not pause the cluster's.
pub struct LocalCluster {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) certificates: Certificates,
    pub(crate) admin: Identity,
    pub(crate) address: SocketAddr,
    pub(crate) front: AbortHandle,
    pub(crate) engine: Engine,
}

impl LocalCluster {
    /// Starts a cluster on a free port.
    ///
    /// # Errors
    ///
    /// [`StartError::Engine`] without PostgreSQL on the machine; it names the command to install
    /// one.
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
        &self.cluster.hosts.public
    }

    /// Returns the host name in the private domain, if the cluster has
    /// [`private_link`](Builder::private_link). TLS and tokens may name it instead.
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
        &self.certificates.authority.certificate_pem
    }

    /// Returns the certificate authority to trust, as DER.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.certificates.ca_der
    }

    /// Returns a folder that only the engine's user and root can enter, and that goes with the
    /// engine, even if this process is killed. It holds files that belong to a cluster.
    pub fn folder(&self) -> &Path {
        self.engine.folder()
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

    /// Makes the sessions and transactions that are open this much older, at once, and lets the
    /// connection rate recover for this long. Tokens have a [`clock`](Self::clock) of their own.
    pub fn pass_time(&self, by: Duration) {
        self.cluster.uptime.advance(by);
    }

    /// Fails the next statement of every session that has run one, as a definition by another
    /// session does with [`SchemaConflicts::Every`](crate::SchemaConflicts::Every).
    pub fn change_schema(&self) {
        self.cluster.schema.change(None, self.cluster.uptime.now());
    }

    /// Puts the cluster to sleep, as after a long time without connections: the next connections
    /// are refused with [`Refusal::WakingUp`](crate::Refusal::WakingUp) until it has woken up.
    /// Sessions that are open stay.
    pub fn sleep(&self) {
        self.cluster.gate.sleep();
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

    /// Runs a script as `admin` through the front, each statement by itself.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] names the statement that failed; those before it stay.
    ///
    /// # Cancel safety
    ///
    /// Some of the statements may have run.
    pub async fn run_script(&self, sql: &str) -> Result<(), ScriptError> {
        script::run(self, sql).await
    }

    /// Does what `CALL dsql_local.{call}` does in a session with `-c dsql_local.control=on`, such
    /// as `inject('conflict', 3)` or `advance('1 hour')`.
    ///
    /// # Errors
    ///
    /// Words for the person who wrote the call.
    pub fn control(&self, call: &str) -> Result<(), String> {
        control::call(&self.cluster, call)
    }

    /// Adds a fault. Faults of a kind are due in the order in which they were added.
    pub fn inject(&self, fault: Fault) {
        self.cluster.faults.add(fault);
    }

    /// Removes the faults that are not due yet or always due. Stalled connections stay stalled.
    pub fn clear_faults(&self) {
        self.cluster.faults.clear();
    }

    /// Returns how often faults that are equal to this one, but for how often they are due, have
    /// struck.
    pub fn struck(&self, fault: &Fault) -> u64 {
        self.cluster.faults.struck(fault)
    }

    /// Ends all stalls, trickles and black holes: their sockets close.
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

    /// Waits until the engine has ended by itself, killed or crashed, and returns the end of its
    /// log.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn engine_ended(&self) -> String {
        let mut ended = self.cluster.engine_ended.clone();
        // An error means that the superuser's connection was closed from this side.
        if ended.wait_for(|ended| *ended).await.is_err() {
            std::future::pending::<()>().await;
        }
        self.engine.log()
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
