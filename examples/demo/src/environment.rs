//! The environment of a program: the cluster and credentials, and none of the demo's own variables.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, io};

use dsql_local::{Identity, LocalCluster};
use tokio::process::Command;

/// A cluster, as a deployment would describe it to the programs that use it.
#[derive(Debug)]
pub(crate) struct Environment {
    endpoint: String,
    hostaddr: String,
    port: String,
    region: String,
    ca_file: PathBuf,
}

impl Environment {
    pub(crate) fn of(cluster: &LocalCluster) -> io::Result<Self> {
        let ca_file = cluster.folder().join("ca.pem");
        fs::write(&ca_file, cluster.ca_pem())?;
        Ok(Self {
            endpoint: cluster.endpoint().to_string(),
            hostaddr: cluster.address().ip().to_string(),
            port: cluster.address().port().to_string(),
            region: cluster.region().to_string(),
            ca_file,
        })
    }

    /// Prepares a program that connects with this identity's credentials. Dropping its handle ends
    /// the process.
    ///
    /// Inherits nothing: keys, profiles and settings of the demo's user stay outside.
    pub(crate) fn command(&self, program: &Path, identity: &Identity) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AWS_REGION", &self.region)
            .env("AWS_ACCESS_KEY_ID", identity.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", identity.secret_access_key())
            .envs(
                identity
                    .session_token()
                    .map(|token| ("AWS_SESSION_TOKEN", token)),
            )
            .env("DSQL_ENDPOINT", &self.endpoint)
            .env("DSQL_HOSTADDR", &self.hostaddr)
            .env("DSQL_PORT", &self.port)
            .env("DSQL_CA_FILE", &self.ca_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }
}
