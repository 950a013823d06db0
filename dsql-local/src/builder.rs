//! The settings of a cluster, and its start. Returns a [`LocalCluster`].

mod listen;
mod names;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dsql_migrate::{Migrations, Migrator};
use tokio::sync::watch;

use self::listen::listen;
use crate::conflict::{Registry, Schema, SchemaConflicts};
use crate::engine::Engine;
use crate::faults::Faults;
use crate::iam::clock::Clock;
use crate::iam::identity::{ACCOUNT, Action, Directory, Identity};
use crate::local::{CA_FILE, LocalCluster};
use crate::saved::Saved;
use crate::server::admission::{Admission, Quotas, WakeUp};
use crate::server::certificate::Certificates;
use crate::server::cluster::Cluster;
use crate::server::host::Hosts;
use crate::server::log::Log;
use crate::server::uptime::Uptime;
use crate::start_error::StartError;

/// The settings of a cluster. Obtained from [`LocalCluster::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    listen: IpAddr,
    port: u16,
    region: Option<String>,
    peer_region: Option<String>,
    peer_port: u16,
    id: Option<String>,
    data_dir: Option<PathBuf>,
    private_link: Option<String>,
    login_deadline: Duration,
    transaction_age: Duration,
    schema_conflicts: SchemaConflicts,
    session_limit: Duration,
    quotas: Quotas,
    certificate_end: Option<SystemTime>,
    migrations: Option<PathBuf>,
}

impl LocalCluster {
    /// Starts a cluster on a free port.
    ///
    /// # Errors
    ///
    /// [`StartError::Engine`] if the machine has no PostgreSQL; its message says how to install it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops what was started.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a builder, to change a port, a Region or a limit.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            region: None,
            peer_region: None,
            peer_port: 0,
            id: None,
            data_dir: None,
            private_link: None,
            login_deadline: Duration::from_secs(30),
            transaction_age: Duration::from_secs(300),
            schema_conflicts: SchemaConflicts::Realistic,
            session_limit: Duration::from_secs(3_600),
            quotas: Quotas::default(),
            certificate_end: None,
            migrations: None,
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

    /// Sets the Region. Defaults to the Region saved in the [`data_dir`](Self::data_dir), or to
    /// `us-east-1`.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// Makes the cluster a multi-Region cluster, with another server for this Region on the same
    /// engine. That server has its own endpoint, port, faults and counters, and the same
    /// certificate authority, identities and clocks. [`LocalCluster::peer`] returns it. Defaults to
    /// one Region.
    pub fn peer_region(mut self, region: impl Into<String>) -> Self {
        self.peer_region = Some(region.into());
        self
    }

    /// Sets the port of the [`peer_region`](Self::peer_region). Defaults to a free one.
    pub fn peer_port(mut self, port: u16) -> Self {
        self.peer_port = port;
        self
    }

    /// Sets the cluster ID: the 26 lower-case letters and digits that the endpoint begins with.
    /// Defaults to the ID saved in the [`data_dir`](Self::data_dir), or to a random one.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Keeps the data in a folder, and with it the endpoint, the certificate authority and the
    /// administrator's credentials. Defaults to temporary data.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(folder.into());
        self
    }

    /// Adds the host names of PrivateLink: `<id>.dsql-<suffix>.<region>.on.aws`, and VPC endpoint
    /// names, which need the startup option `-c amzn-cluster-id=<id>`. Defaults to none.
    pub fn private_link(mut self, suffix: impl Into<String>) -> Self {
        self.private_link = Some(suffix.into());
        self
    }

    /// Sets the deadline from connect to login. Defaults to 30 seconds.
    pub fn login_deadline(mut self, deadline: Duration) -> Self {
        self.login_deadline = deadline;
        self
    }

    /// Sets the maximum age of a transaction. Defaults to 300 seconds.
    pub fn transaction_age(mut self, limit: Duration) -> Self {
        self.transaction_age = limit;
        self
    }

    /// Sets the maximum age of a session. An older one is closed without an error message: at once
    /// if it is idle, otherwise when its transaction ends or after another
    /// [`transaction_age`](Self::transaction_age). Defaults to 60 minutes.
    pub fn session_limit(mut self, limit: Duration) -> Self {
        self.session_limit = limit;
        self
    }

    /// Sets the connection rate: the burst, and the connections per second that refill it. Defaults
    /// to 1,000 and 100.
    pub fn connection_rate(mut self, burst: u32, per_second: u32) -> Self {
        self.quotas.burst = burst;
        self.quotas.per_second = per_second;
        self
    }

    /// Sets the maximum number of open sessions. Defaults to 10,000.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.quotas.connections = connections;
        self
    }

    /// Sets what wakes the cluster up after [`sleep`](LocalCluster::sleep). Defaults to one refused
    /// connection.
    pub fn wake_up(mut self, wake_up: WakeUp) -> Self {
        self.quotas.wake_up = wake_up;
        self
    }

    /// Sets when the server's certificate expires, which may be in the past. The certificate
    /// authority does not expire. Defaults to the year 4096.
    pub fn certificate_end(mut self, end: SystemTime) -> Self {
        self.certificate_end = Some(end);
        self
    }

    /// Sets which committed definitions fail statements of other sessions
    /// ([`Refusal::SchemaChanged`](crate::Refusal::SchemaChanged)). Defaults to
    /// [`SchemaConflicts::Realistic`].
    pub fn schema_conflicts(mut self, conflicts: impl Into<SchemaConflicts>) -> Self {
        self.schema_conflicts = conflicts.into();
        self
    }

    /// Applies the migrations of a folder at the start, as `dsql-migrate` does: files
    /// `NNNN_name.sql`. Defaults to none.
    ///
    /// `Migrator::up(&cluster)` applies migrations of the program itself.
    pub fn migrations(mut self, folder: impl Into<PathBuf>) -> Self {
        self.migrations = Some(folder.into());
        self
    }

    /// Starts the cluster and its engine.
    ///
    /// # Errors
    ///
    /// [`StartError`] names the cause.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops what was started.
    pub async fn start(self) -> Result<LocalCluster, StartError> {
        // Read the files before starting the engine, which takes longer.
        let migrations = self.migrations.as_ref().map(Migrations::from_folder);
        let migrator = migrations.transpose()?.map(Migrator::new);
        let cluster = self.launch().await?;
        if let Some(migrator) = migrator {
            let _applied = migrator.up(&cluster).await?;
        }
        Ok(cluster)
    }

    async fn launch(self) -> Result<LocalCluster, StartError> {
        let saved = match &self.data_dir {
            Some(folder) => Saved::load(folder).map_err(|source| StartError::Saved {
                folder: folder.clone(),
                source,
            })?,
            None => None,
        };
        let (cluster_id, region) = names::of(&self.id, &self.region, saved.as_ref())?;
        let data_dir = self.data_dir.clone();
        let engine = tokio::task::spawn_blocking(move || Engine::start(data_dir.as_deref()))
            .await
            .expect("the start of the engine does not panic")?;
        let hosts = Hosts::new(cluster_id.clone(), &region, self.private_link.as_deref());
        let authority = saved.as_ref().map(|saved| &saved.authority);
        let certificates = Certificates::for_hosts(&hosts, authority, self.certificate_end)?;
        let ca_file = engine.folder().join(CA_FILE);
        fs::write(&ca_file, &certificates.authority.certificate_pem).map_err(|source| {
            StartError::CaFile {
                path: ca_file,
                source,
            }
        })?;
        let admin = saved
            .as_ref()
            .map_or_else(|| Identity::role("admin"), Saved::admin);
        if let (None, Some(folder)) = (&saved, &self.data_dir) {
            let authority = certificates.authority.clone();
            Saved::new(cluster_id.clone(), region.clone(), authority, &admin)
                .save(folder)
                .map_err(|source| StartError::Saved {
                    folder: folder.clone(),
                    source,
                })?;
        }
        let shared = Shared {
            clock: Clock::default(),
            uptime: Arc::default(),
            schema: Arc::new(Schema::new(self.schema_conflicts)),
            directory: Arc::default(),
            conflicts: Registry::default(),
            engine: Arc::new(engine),
        };
        let both = [Action::DbConnect, Action::DbConnectAdmin];
        shared.directory.put(admin.clone(), &both);

        let peer = match &self.peer_region {
            Some(peer_region) if *peer_region == region => {
                return Err(StartError::PeerRegion { region });
            }
            Some(peer_region) => {
                let hosts = Hosts::new(names::of_peer(&cluster_id), peer_region, None);
                let authority = &certificates.authority;
                let certificates =
                    Certificates::for_hosts(&hosts, Some(authority), self.certificate_end)?;
                let peer = self.cluster(peer_region, hosts, &certificates, &shared);
                let address = SocketAddr::new(self.listen, self.peer_port);
                let engine = Arc::clone(&shared.engine);
                let peer = listen(peer, certificates, admin.clone(), address, engine, None)?;
                Some(Box::new(peer))
            }
            None => None,
        };
        let cluster = self.cluster(&region, hosts, &certificates, &shared);
        let address = SocketAddr::new(self.listen, self.port);
        listen(cluster, certificates, admin, address, shared.engine, peer)
    }

    /// Returns the cluster as the connections to one of its Regions see it.
    fn cluster(
        &self,
        region: &str,
        hosts: Hosts,
        certificates: &Certificates,
        shared: &Shared,
    ) -> Cluster {
        Cluster {
            arn: format!("arn:aws:dsql:{region}:{ACCOUNT}:cluster/{}", hosts.id),
            region: region.to_owned(),
            login_deadline: self.login_deadline,
            tls: certificates.server_config(&hosts),
            clock: shared.clock.clone(),
            uptime: Arc::clone(&shared.uptime),
            transaction_age: self.transaction_age,
            schema: Arc::clone(&shared.schema),
            session_limit: self.session_limit,
            admission: Admission::new(self.quotas.clone()),
            directory: Arc::clone(&shared.directory),
            faults: Faults::default(),
            conflicts: shared.conflicts.clone(),
            log: Arc::new(Log::default()),
            disruption: watch::Sender::default(),
            superuser: shared.engine.superuser(),
            socket: shared.engine.socket(),
            engine_ended: shared.engine.ended(),
            hosts,
        }
    }
}

/// The data that the Regions of a cluster share.
struct Shared {
    clock: Clock,
    uptime: Arc<Uptime>,
    schema: Arc<Schema>,
    directory: Arc<Directory>,
    conflicts: Registry,
    engine: Arc<Engine>,
}
