//! What every connection knows of its cluster: names, clock, identities, faults, book, engine.
//! `builder` makes one; `session`, `forward` and `front` read it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_postgres::Client;

use crate::clock::Clock;
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
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) fate: watch::Sender<Fate>,
    /// Its database in the engine, by the superuser's connection and by name.
    pub(crate) superuser: Client,
    pub(crate) database: String,
    pub(crate) socket: PathBuf,
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
