//! A cluster as programs find it: by environment variables and files.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dsql_local::{Identity, LocalCluster};
use tempfile::TempDir;

/// A cluster, with the files that programs use to find and trust it.
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
    /// Writes the files; dropping the site removes them.
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn new(cluster: LocalCluster) -> io::Result<Self> {
        // Not in the cluster's folder: the root of a user namespace cannot read that.
        let folder = tempfile::tempdir()?;
        let [authority, bundle, hosts] =
            ["ca.pem", "bundle.pem", "hosts"].map(|name| folder.path().join(name));
        fs::write(&authority, cluster.ca_pem())?;

        // For programs that trust the system's certificates: all of those, and one more.
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

    /// Gives a command exactly this environment: the cluster at `address`, and the identity's
    /// credentials.
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

    /// A folder for further files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs a program. If `looks_up`, the program finds the cluster by its name: the
    /// only way for programs that take no address beside the name that they verify.
    ///
    /// It gets a mount namespace with its own hosts file; the system's file is unchanged.
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

/// Where systems store trusted certificates.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
