//! The state that all connections of a cluster share. `builder` creates it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::conflict::{Registry, Schema};
use crate::faults::Faults;
use crate::iam::clock::Clock;
use crate::iam::identity::Directory;
use crate::server::admission::Admission;
use crate::server::host::Hosts;
use crate::server::log::Log;
use crate::server::uptime::Uptime;

/// A cluster as its connections see it.
pub(crate) struct Cluster {
    pub(crate) hosts: Hosts,
    pub(crate) region: String,
    pub(crate) arn: String,
    pub(crate) login_deadline: Duration,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) clock: Clock,
    pub(crate) uptime: Arc<Uptime>,
    pub(crate) transaction_age: Duration,
    pub(crate) schema: Arc<Schema>,
    pub(crate) session_limit: Duration,
    pub(crate) admission: Admission,
    pub(crate) directory: Arc<Directory>,
    pub(crate) faults: Faults,
    pub(crate) conflicts: Registry,
    pub(crate) log: Arc<Log>,
    pub(crate) disruption: watch::Sender<Disruption>,
    /// The superuser's connection to the engine.
    pub(crate) superuser: Arc<Client>,
    /// The engine's socket, where sessions open their backends.
    pub(crate) socket: PathBuf,
    /// True once the engine was killed or crashed.
    pub(crate) engine_ended: watch::Receiver<bool>,
}

/// What happens to the open connections when this signal is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Disruption {
    #[default]
    None,
    Cut,
    Reset,
    BlackHole,
}

#[cfg(test)]
impl Cluster {
    /// Returns a cluster without an engine.
    pub(crate) fn without_engine() -> Self {
        use crate::conflict::SchemaConflicts;
        use crate::server::admission::Quotas;
        use crate::server::certificate::Certificates;

        let hosts = Hosts::new("a".repeat(26), "us-east-1", None);
        let certificates = Certificates::for_hosts(&hosts, None, None).unwrap();
        Self {
            region: "us-east-1".to_owned(),
            arn: String::new(),
            login_deadline: Duration::MAX,
            tls: certificates.server_config(&hosts),
            clock: Clock::default(),
            uptime: Arc::default(),
            transaction_age: Duration::MAX,
            schema: Arc::new(Schema::new(SchemaConflicts::Realistic)),
            session_limit: Duration::MAX,
            admission: Admission::new(Quotas::default()),
            directory: Arc::default(),
            faults: Faults::default(),
            conflicts: Registry::default(),
            log: Arc::default(),
            disruption: watch::Sender::default(),
            superuser: Arc::new(closed_client()),
            socket: PathBuf::new(),
            engine_ended: watch::channel(false).1,
            hosts,
        }
    }
}

/// Returns a client whose server sent a greeting and closed.
#[cfg(test)]
fn closed_client() -> Client {
    use tokio::io::AsyncWriteExt;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(1_024);
        let greeting = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
        far.write_all(greeting).await.unwrap();
        let mut config = tokio_postgres::Config::new();
        let connecting = config
            .user("nobody")
            .connect_raw(near, tokio_postgres::NoTls);
        connecting.await.unwrap().0
    })
}
