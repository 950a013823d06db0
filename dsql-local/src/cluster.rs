//! What every connection knows of its cluster: names, clock, identities, faults, book, engine.
//! `builder` makes one; `session`, `forward` and `front` read it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::clock::Clock;
use crate::conflict::Registry;
use crate::count::Ledger;
use crate::fault::Faults;
use crate::gate::Gate;
use crate::host::Hosts;
use crate::identity::Directory;
use crate::schema::Schema;
use crate::uptime::Uptime;

/// A cluster as its connections see it.
pub(crate) struct Cluster {
    pub(crate) hosts: Hosts,
    pub(crate) region: String,
    pub(crate) arn: String,
    pub(crate) login_deadline: Duration,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) clock: Clock,
    pub(crate) uptime: Uptime,
    pub(crate) transaction_age: Duration,
    pub(crate) schema: Schema,
    pub(crate) session_limit: Duration,
    pub(crate) gate: Gate,
    pub(crate) directory: Directory,
    pub(crate) faults: Faults,
    pub(crate) conflicts: Registry,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) fate: watch::Sender<Fate>,
    /// The engine: the superuser's connection, the socket for sessions, whether it ended by itself.
    pub(crate) superuser: Arc<Client>,
    pub(crate) socket: PathBuf,
    pub(crate) engine_ended: watch::Receiver<bool>,
}

/// What befalls the connections that are open when it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Fate {
    #[default]
    Live,
    Cut,
    Reset,
    BlackHole,
}

#[cfg(test)]
impl Cluster {
    /// Returns a cluster without an engine, for what asks nothing of one.
    pub(crate) fn unplugged() -> Self {
        let hosts = Hosts::new("a".repeat(26), "us-east-1", None);
        let certificates = crate::certificate::Certificates::for_hosts(&hosts, None).unwrap();
        Self {
            region: "us-east-1".to_owned(),
            arn: String::new(),
            login_deadline: Duration::MAX,
            tls: certificates.server_config(&hosts),
            clock: Clock::default(),
            uptime: Uptime::default(),
            transaction_age: Duration::MAX,
            schema: Schema::new(crate::schema::SchemaConflicts::Realistic),
            session_limit: Duration::MAX,
            gate: Gate::new(crate::gate::Quotas::default()),
            directory: Directory::default(),
            faults: Faults::default(),
            conflicts: Registry::default(),
            ledger: Arc::default(),
            fate: watch::Sender::default(),
            superuser: Arc::new(nobody()),
            socket: PathBuf::new(),
            engine_ended: watch::channel(false).1,
            hosts,
        }
    }
}

/// Returns a client whose server said all that it ever says.
#[cfg(test)]
fn nobody() -> Client {
    use tokio::io::AsyncWriteExt;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(1_024);
        let welcome = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
        far.write_all(welcome).await.unwrap();
        let mut config = tokio_postgres::Config::new();
        let connecting = config
            .user("nobody")
            .connect_raw(near, tokio_postgres::NoTls);
        connecting.await.unwrap().0
    })
}
