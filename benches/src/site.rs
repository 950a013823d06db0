//! A cluster, as programs find it: in their environment, and in files.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dsql_local::{Identity, LocalCluster};
use tempfile::TempDir;

/// A cluster with the files by which it is found and trusted.
#[derive(Debug)]
pub struct Site {
    /// The cluster.
    pub cluster: LocalCluster,
    folder: TempDir,
    authority: PathBuf,
    bundle: PathBuf,
    hosts: PathBuf,
}

impl Site {
    /// Writes the files, which go when it is dropped.
    ///
    /// # Errors
    ///
    /// What the system says of a file.
    pub fn new(cluster: LocalCluster) -> io::Result<Self> {
        // Not in the cluster's folder: root of a user namespace is no root there.
        let folder = tempfile::tempdir()?;
        let [authority, bundle, hosts] =
            ["ca.pem", "bundle.pem", "hosts"].map(|name| folder.path().join(name));
        fs::write(&authority, cluster.ca_pem())?;

        // Programs that trust the system's certificates read as many as ever, and one more.
        let system = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let known = BUNDLES.iter().map(PathBuf::from);
        if let Some(found) = system.into_iter().chain(known).find(|path| path.exists()) {
            fs::copy(found, &bundle)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).open(&bundle)?;
        file.write_all(cluster.ca_pem().as_bytes())?;

        let address = cluster.address().ip();
        fs::write(
            &hosts,
            format!("127.0.0.1 localhost\n{address} {}\n", cluster.endpoint()),
        )?;
        Ok(Self {
            cluster,
            folder,
            authority,
            bundle,
            hosts,
        })
    }

    /// Gives a command this environment and no other: the cluster by way of `address`, and the
    /// identity's credentials.
    pub fn furnish(&self, command: &mut Command, identity: &Identity, address: SocketAddr) {
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("AWS_REGION", self.cluster.region())
            .env("AWS_ACCESS_KEY_ID", identity.access_key_id())
            .env("AWS_SECRET_ACCESS_KEY", identity.secret_access_key())
            .envs(
                identity
                    .session_token()
                    .map(|token| ("AWS_SESSION_TOKEN", token)),
            )
            .env("DSQL_ENDPOINT", self.cluster.endpoint())
            .env("DSQL_HOSTADDR", address.ip().to_string())
            .env("DSQL_PORT", address.port().to_string())
            .env("DSQL_CA_FILE", &self.authority)
            .env("PGSSLROOTCERT", &self.authority)
            .env("SSL_CERT_FILE", &self.bundle);
    }

    /// A folder for other files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the command line of a program, which finds the cluster by its name alone if it
    /// `looks_up`: the one way for a program that can be told no address beside the name that it
    /// verifies.
    ///
    /// It gets a mount namespace, with a file of hosts in the place of the system's; the system's
    /// own stays as it is.
    pub fn command(&self, program: impl AsRef<OsStr>, looks_up: bool) -> Command {
        if !looks_up {
            return Command::new(program);
        }
        let mut probe = Command::new("unshare");
        probe.args(["--mount", "true"]).stderr(Stdio::null());
        let mut unshare = Command::new("unshare");
        if !probe.status().is_ok_and(|status| status.success()) {
            unshare.arg("--map-root-user");
        }
        unshare
            .args(["--mount", "sh", "-c"])
            .arg(r#"mount --bind "$0" /etc/hosts && exec "$@""#)
            .arg(&self.hosts)
            .arg(program);
        unshare
    }
}

/// Where systems keep the certificates that they trust.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
