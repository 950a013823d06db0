//! The environment variables that clients read to find a cluster, and the files that they name.

use std::fs;
use std::path::{Path, PathBuf};

use dsql_local::LocalCluster;

use crate::Error;

/// Names with their values.
pub(crate) type Variables = Vec<(&'static str, String)>;

/// The files that clients of a cluster read.
pub(crate) struct Files {
    ca: PathBuf,
    bundle: PathBuf,
    pub(crate) hosts: PathBuf,
    pub(crate) env: PathBuf,
}

impl Files {
    /// Writes the certificates and the hosts file into a folder.
    pub(crate) fn write(cluster: &LocalCluster, folder: &Path) -> Result<Self, Error> {
        let files = Self {
            ca: folder.join("ca.pem"),
            bundle: folder.join("bundle.pem"),
            hosts: folder.join("hosts"),
            env: folder.join("env.sh"),
        };
        write_file(&files.ca, cluster.ca_pem())?;
        write_file(&files.bundle, &(system_roots() + cluster.ca_pem()))?;
        let hosts = format!("127.0.0.1 localhost\n{}\n", hosts_line(cluster));
        write_file(&files.hosts, &hosts)?;
        Ok(files)
    }

    /// Returns dsql-local's own variables and the administrator's credentials.
    pub(crate) fn printed(&self, cluster: &LocalCluster) -> Variables {
        let mut variables = cluster.variables();
        for (name, value) in &mut variables {
            if *name == "DSQL_CA_FILE" {
                *value = self.ca.display().to_string();
            }
        }
        variables
    }

    /// Returns all variables, including those that libpq, Node, OpenSSL and AWS's examples read.
    pub(crate) fn all(&self, cluster: &LocalCluster) -> Variables {
        let mut variables = self.printed(cluster);
        variables.extend([
            ("AWS_DEFAULT_REGION", cluster.region().to_owned()),
            ("PGHOST", cluster.endpoint().to_owned()),
            ("PGHOSTADDR", cluster.reachable_at().to_string()),
            ("PGPORT", cluster.address().port().to_string()),
            ("PGUSER", "admin".to_owned()),
            ("PGDATABASE", "postgres".to_owned()),
            ("PGSSLMODE", "verify-full".to_owned()),
            ("PGSSLROOTCERT", self.ca.display().to_string()),
            ("NODE_EXTRA_CA_CERTS", self.ca.display().to_string()),
            ("SSL_CERT_FILE", self.bundle.display().to_string()),
            ("CLUSTER_ENDPOINT", cluster.endpoint().to_owned()),
            ("CLUSTER_USER", "admin".to_owned()),
            ("REGION", cluster.region().to_owned()),
        ]);
        variables
    }

    /// Writes the file for `source` in a shell.
    pub(crate) fn write_env(&self, cluster: &LocalCluster) -> Result<(), Error> {
        write_file(&self.env, &exports(&self.all(cluster)))
    }

    /// Returns the path of the certificate authority's file.
    pub(crate) fn ca(&self) -> &Path {
        &self.ca
    }
}

/// Returns the cluster's line for `/etc/hosts`.
pub(crate) fn hosts_line(cluster: &LocalCluster) -> String {
    let mut line = format!("{} {}", cluster.reachable_at(), cluster.endpoint());
    if let Some(peer) = cluster.peer() {
        line.push(' ');
        line.push_str(peer.endpoint());
    }
    line
}

pub(crate) fn exports(variables: &Variables) -> String {
    variables
        .iter()
        .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
        .collect()
}

/// Quotes a text for a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// Returns the certificates that programs on this machine trust, so that the programs can still
/// connect to other servers.
fn system_roots() -> String {
    let mut roots = std::env::var_os("SSL_CERT_FILE")
        .map(PathBuf::from)
        .into_iter()
        .chain(BUNDLES.iter().map(PathBuf::from))
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    if !roots.is_empty() && !roots.ends_with('\n') {
        roots.push('\n');
    }
    roots
}

/// The paths of the bundles on Debian, on Fedora, and on Alpine and macOS.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_shell_reads_quoted_values(
            values in prop::collection::vec(
                prop_oneof!["['\"$`\\\\!*~ \n]{0,9}", "[^\0]{0,20}"],
                1..20,
            ),
        ) {
            let words: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            let shell = std::process::Command::new("sh")
                .args(["-c", &format!("printf '%s\\0' {}", words.join(" "))])
                .output()
                .unwrap();
            let expected: String = values.iter().map(|value| format!("{value}\0")).collect();
            prop_assert_eq!(String::from_utf8(shell.stdout).unwrap(), expected);
        }
    }
}
