//! Runs scripts and migrations as `admin`, over TLS with a token, like any client.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dsql_migrate::Connect;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_rustls::TlsConnector;

use crate::engine::DATABASE;
use crate::iam::identity::{ADMIN, Action};
use crate::iam::sigv4::sign;
use crate::local::LocalCluster;
use crate::server::certificate::ALPN;
use crate::sql::statement;

impl LocalCluster {
    /// Runs a script as `admin`, each statement in its own transaction.
    ///
    /// # Errors
    ///
    /// [`ScriptError`] names the statement that failed. Earlier statements stay committed.
    ///
    /// # Cancel safety
    ///
    /// Some of the statements may have run when the future is dropped.
    pub async fn run_script(&self, sql: &str) -> Result<(), ScriptError> {
        run(self, sql).await
    }
}

/// Migrations run as `admin`.
impl Connect for &LocalCluster {
    type Session = Client;
    type Error = ScriptError;

    async fn connect(&self) -> Result<Client, ScriptError> {
        connect(self).await
    }
}

/// Runs each statement by itself: the service takes one definition per transaction.
async fn run(cluster: &LocalCluster, sql: &str) -> Result<(), ScriptError> {
    let client = connect(cluster).await?;
    for statement in statement::split(sql) {
        let text = statement.text.trim();
        let ran = client.batch_execute(text).await;
        ran.map_err(|source| ScriptError::Statement {
            statement: text.chars().take(LONGEST_QUOTE).collect(),
            message: source
                .as_db_error()
                .map_or_else(|| source.to_string(), ToString::to_string),
        })?;
    }
    Ok(())
}

async fn connect(cluster: &LocalCluster) -> Result<Client, ScriptError> {
    let mut roots = RootCertStore::empty();
    let connecting = |error: &dyn std::fmt::Display| ScriptError::Connect(error.to_string());
    roots
        .add(cluster.ca_der().clone())
        .map_err(|error| connecting(&error))?;
    let mut tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let name =
        ServerName::try_from(cluster.endpoint().to_owned()).map_err(|error| connecting(&error))?;
    let stream = TcpStream::connect(cluster.address())
        .await
        .map_err(|error| connecting(&error))?;
    let stream = TlsConnector::from(Arc::new(tls))
        .connect(name, stream)
        .await
        .map_err(|error| connecting(&error))?;
    let token = sign(
        cluster.admin(),
        cluster.endpoint(),
        cluster.region(),
        Action::DbConnectAdmin,
        SystemTime::now(),
        Duration::from_secs(60),
    );
    let (client, connection) = Config::new()
        .user(ADMIN)
        .password(token)
        .dbname(DATABASE)
        .application_name("dsql-local")
        // The stream is already encrypted.
        .ssl_mode(SslMode::Disable)
        .connect_raw(stream, NoTls)
        .await
        .map_err(|error| connecting(&error))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "the script's connection ended");
        }
    });
    Ok(client)
}

/// Why a script stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// The connection failed.
    #[error("could not connect to the local cluster: {0}")]
    Connect(String),
    /// A statement failed.
    #[error("`{statement}` failed: {message}")]
    Statement {
        /// The beginning of the statement.
        statement: String,
        /// The cluster's error.
        message: String,
    },
}

const LONGEST_QUOTE: usize = 200;
