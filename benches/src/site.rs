//! A cluster, as programs find it: in their environment, and in files.

use std::{
    env,
    fs::{self, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
};

use dsql_local::{Identity, LocalCluster};

/// A cluster with the files by which it is found and trusted.
#[derive(Debug)]
pub struct Site {
    /// The cluster.
    pub cluster: LocalCluster,
    authority: PathBuf,
    bundle: PathBuf,
    hosts: PathBuf,
}

impl Site {
    /// Writes the files, which go with the cluster.
    ///
    /// # Errors
    ///
    /// What the system says of a file.
    pub fn new(cluster: LocalCluster) -> io::Result<Self> {
        let [authority, bundle, hosts] =
            ["ca.pem", "bundle.pem", "hosts"].map(|name| cluster.folder().join(name));
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
            authority,
            bundle,
            hosts,
        })
    }

    /// Gives a command this environment and no other: the cluster by way of `address`, and the identity's credentials.
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

    /// Starts a command line with what makes the cluster's name resolve for all that follows it on the line: the one way for a
    /// program that can be told no address beside the name that it verifies. The other programs are told, and look nothing up.
    ///
    /// It is a mount namespace, with a file of hosts in the place of the system's; the system's own stays as it is.
    pub fn resolving(&self) -> Command {
        let mut unshare = Command::new("unshare");
        unshare
            .args(["--map-root-user", "--mount", "sh", "-c"])
            .arg(r#"mount --bind "$0" /etc/hosts && exec "$@""#)
            .arg(&self.hosts);
        unshare
    }
}

/// Where systems keep the certificates that they trust.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
