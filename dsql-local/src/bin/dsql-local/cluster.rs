//! The options of `serve` and `exec` that configure the cluster.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dsql_local::{Builder, LocalCluster, SchemaConflicts, WakeUp};

use crate::Error;

#[derive(Debug, Args)]
pub(crate) struct ClusterOptions {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    listen: IpAddr,
    /// Port; 0 takes a free one. Clients without a setting for the port expect 5432.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Region in the endpoint's name [default: us-east-1].
    #[arg(long)]
    region: Option<String>,
    /// Another Region of the cluster, with an endpoint of its own and the same data.
    #[arg(long, value_name = "REGION")]
    peer_region: Option<String>,
    /// Port of the other Region; 0 takes a free one.
    #[arg(long, default_value_t = 0, requires = "peer_region")]
    peer_port: u16,
    /// The 26 characters that the endpoint begins with [default: random].
    #[arg(long)]
    id: Option<String>,
    /// Folder that keeps the data, the endpoint, the certificate authority and the administrator's
    /// keys. Without it everything is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// SQL to run as admin after the start: a file, with --data only at the first start, or a
    /// folder of migrations `NNNN_name.sql`, as dsql-migrate applies them.
    #[arg(long, value_name = "FILE|FOLDER")]
    init: Option<PathBuf>,
    /// Suffix of the Region's PrivateLink domain, to accept its host names as well.
    #[arg(long, value_name = "SUFFIX")]
    private_link: Option<String>,
    /// Which definitions fail statements of other sessions (OC001): off, realistic or every.
    #[arg(long, default_value = "realistic")]
    schema_conflicts: SchemaConflicts,
    /// Maximum seconds from connect to login.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    login_deadline: u64,
    /// Maximum age of a transaction, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    transaction_age: u64,
    /// Maximum age of a session, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    session_limit: u64,
    /// Burst of new connections.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 1_000)]
    burst: u32,
    /// New connections per second after a burst.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 100)]
    per_second: u32,
    /// Maximum number of open sessions.
    #[arg(long, value_name = "SESSIONS", default_value_t = 10_000)]
    max_connections: usize,
    /// Refused connections after which a sleeping cluster wakes up.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 1)]
    wake_up_after: usize,
    /// A procedure of the schema dsql_local to call at the start, such as "inject('conflict', 3)"
    /// or "sleep()". May be repeated.
    #[arg(long, value_name = "CALL")]
    call: Vec<String>,
}

impl ClusterOptions {
    /// Starts the cluster, and runs the script and the calls.
    pub(crate) async fn start(&self) -> Result<LocalCluster, Error> {
        let is_first_start = self
            .data
            .as_ref()
            .is_none_or(|folder| !folder.join("cluster.json").exists());
        let cluster = self.builder().start().await?;
        let script = self.init.as_ref().filter(|path| !path.is_dir());
        if let Some(path) = script.filter(|_| is_first_start) {
            let script = std::fs::read_to_string(path).map_err(|source| Error::File {
                path: path.clone(),
                source,
            })?;
            cluster.run_script(&script).await?;
        }
        for call in &self.call {
            cluster.control(call).map_err(Error::Control)?;
        }
        Ok(cluster)
    }

    fn builder(&self) -> Builder {
        let mut builder = LocalCluster::builder()
            .listen(self.listen)
            .port(self.port)
            .schema_conflicts(self.schema_conflicts)
            .login_deadline(Duration::from_secs(self.login_deadline))
            .transaction_age(Duration::from_secs(self.transaction_age))
            .session_limit(Duration::from_secs(self.session_limit))
            .connection_rate(self.burst, self.per_second)
            .max_connections(self.max_connections)
            .wake_up(WakeUp::Refusals(self.wake_up_after));
        if let Some(region) = &self.region {
            builder = builder.region(region);
        }
        if let Some(region) = &self.peer_region {
            builder = builder.peer_region(region).peer_port(self.peer_port);
        }
        if let Some(id) = &self.id {
            builder = builder.id(id);
        }
        if let Some(folder) = &self.data {
            builder = builder.data_dir(folder);
        }
        if let Some(folder) = self.init.as_ref().filter(|path| path.is_dir()) {
            builder = builder.migrations(folder);
        }
        if let Some(suffix) = &self.private_link {
            builder = builder.private_link(suffix);
        }
        builder
    }
}
