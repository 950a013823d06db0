//! What a cluster is told before it starts, and how its parts come together.
//! `local` hands the builder out, and is what comes of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::conflict::Registry;
use crate::count::Ledger;
use crate::engine::{Engine, EngineError};
use crate::fault::Faults;
use crate::gate::{Gate, Quotas, WakeUp};
use crate::host::Hosts;
use crate::identity::{ACCOUNT, Action, Directory, Identity};
use crate::kept::Kept;
use crate::local::LocalCluster;
use crate::schema::{Schema, SchemaConflicts};
use crate::uptime::Uptime;
use crate::{front, random};

/// What a cluster may be told before it starts.
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    listen: IpAddr,
    port: u16,
    region: Option<String>,
    id: Option<String>,
    data_dir: Option<PathBuf>,
    private_link: Option<String>,
    login_deadline: Duration,
    transaction_age: Duration,
    schema_conflicts: SchemaConflicts,
    session_limit: Duration,
    quotas: Quotas,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            region: None,
            id: None,
            data_dir: None,
            private_link: None,
            login_deadline: Duration::from_secs(30),
            transaction_age: Duration::from_secs(300),
            schema_conflicts: SchemaConflicts::Realistic,
            session_limit: Duration::from_secs(3_600),
            quotas: Quotas::default(),
        }
    }
}

impl Builder {
    /// Sets the address to listen on. Defaults to 127.0.0.1.
    pub fn listen(mut self, address: impl Into<IpAddr>) -> Self {
        self.listen = address.into();
        self
    }

    /// Sets the port. Defaults to a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the Region. Defaults to `us-east-1`, or to the Region that the
    /// [`data_dir`](Self::data_dir) was made with.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Sets the 26 lower-case letters and digits that the endpoint begins with. Defaults to random
    /// ones, or to those that the [`data_dir`](Self::data_dir) was made with.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Keeps the data in a folder, and with it the endpoint, the certificate authority and the
    /// administrator's credentials. Defaults to data that is thrown away with the cluster.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// Lets clients in by PrivateLink, too: by the name `<id>.dsql-<suffix>.<region>.on.aws`, or by
    /// a VPC endpoint's, with the startup option `-c amzn-cluster-id=<id>`. Defaults to none.
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

    /// Sets how old a session may grow. One that is older is closed without a word: at once if it
    /// is idle, else when its transaction ends, or has had its
    /// [`transaction_age`](Self::transaction_age). Defaults to 60 minutes.
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

    /// Sets which committed definitions fail statements of other sessions
    /// ([`Refusal::SchemaChanged`](crate::Refusal::SchemaChanged)). Defaults to
    /// [`SchemaConflicts::Realistic`].
    pub fn schema_conflicts(mut self, conflicts: impl Into<SchemaConflicts>) -> Self {
        self.schema_conflicts = conflicts.into();
        self
    }

    /// Returns the cluster's ID and Region.
    fn names(&self, kept: Option<&Kept>) -> Result<(String, String), StartError> {
        let pick = |asked: &Option<String>, kept: Option<&String>| match (asked, kept) {
            (Some(asked), Some(kept)) if asked != kept => Err(StartError::OtherCluster {
                kept: kept.clone(),
                asked: asked.clone(),
            }),
            (Some(name), _) | (None, Some(name)) => Ok(Some(name.to_owned())),
            (None, None) => Ok(None),
        };
        let id = pick(&self.id, kept.map(|kept| &kept.id))?
            .unwrap_or_else(|| random::text(ID_LENGTH, CLUSTER_ID));
        let region = pick(&self.region, kept.map(|kept| &kept.region))?
            .unwrap_or_else(|| "us-east-1".to_owned());
        let is_id = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        match id.len() == ID_LENGTH && id.bytes().all(is_id) {
            true => Ok((id, region)),
            false => Err(StartError::Id { id }),
        }
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
        let kept = match &self.data_dir {
            Some(folder) => Kept::load(folder).map_err(|source| StartError::Kept {
                folder: folder.clone(),
                source,
            })?,
            None => None,
        };
        let (cluster_id, region) = self.names(kept.as_ref())?;
        let data_dir = self.data_dir.clone();
        let engine = tokio::task::spawn_blocking(move || Engine::start(data_dir.as_deref()))
            .await
            .expect("starting the engine does not panic")?;
        let hosts = Hosts::new(cluster_id.clone(), &region, self.private_link.as_deref());
        let authority = kept.as_ref().map(|kept| &kept.authority);
        let certificates = Certificates::for_hosts(&hosts, authority)?;
        let admin = kept
            .as_ref()
            .map_or_else(|| Identity::role("admin"), Kept::admin);
        if let (None, Some(folder)) = (&kept, &self.data_dir) {
            let authority = certificates.authority.clone();
            Kept::new(cluster_id.clone(), region.clone(), authority, &admin)
                .save(folder)
                .map_err(|source| StartError::Kept {
                    folder: folder.clone(),
                    source,
                })?;
        }
        let cluster = Arc::new(Cluster {
            arn: format!("arn:aws:dsql:{region}:{ACCOUNT}:cluster/{cluster_id}"),
            region,
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
            conflicts: Registry::default(),
            ledger: Arc::new(Ledger::default()),
            fate: watch::Sender::default(),
            superuser: engine.superuser(),
            socket: engine.socket(),
            engine_ended: engine.ended(),
            hosts,
        });
        let both = [Action::DbConnect, Action::DbConnectAdmin];
        cluster.directory.put(admin.clone(), &both);

        let address = SocketAddr::new(self.listen, self.port);
        let listen = |source| StartError::Listen { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // A listener belongs to the runtime that it is registered on: the engine's, not the
        // caller's.
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
    /// The port is taken, or needs more privileges.
    #[error("could not listen on {address}: {source}; choose another port, or 0 for a free one")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// No cluster has this ID.
    #[error("\"{id}\" is no cluster ID; use 26 lower-case letters and digits")]
    Id {
        /// The ID.
        id: String,
    },
    /// The folder was made with other names.
    #[error(
        "the data folder belongs to {kept}, not to {asked}; leave the option out, or use another folder"
    )]
    OtherCluster {
        /// The ID or Region of the folder.
        kept: String,
        /// The one that was asked for.
        asked: String,
    },
    /// The names and keys in the data folder cannot be read or written.
    #[error("could not use cluster.json in {}: {source}", .folder.display())]
    Kept {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// No certificate, for a Region that makes no host name.
    #[error("no certificate for this Region: {0}")]
    Certificate(#[from] rcgen::Error),
}

const ID_LENGTH: usize = 26;
const CLUSTER_ID: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
