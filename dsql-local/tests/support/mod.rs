//! Shared by the tests: tokens from the AWS SDK, and stock tokio-postgres clients.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dsql::auth_token::{AuthTokenGenerator, Config as TokenConfig};
use aws_smithy_async::time::SystemTimeSource;
use aws_types::SdkConfig;
use aws_types::region::Region;
use dsql_local::{Action, Identity, LocalCluster};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::error::DbError;
use tokio_postgres::{Client, Config, Error};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Signs with the AWS SDK and the machine's clock.
pub(crate) async fn sdk_token(
    identity: &Identity,
    host: &str,
    region: &str,
    action: Action,
) -> String {
    let credentials = Credentials::new(
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().map(str::to_owned),
        None::<SystemTime>,
        "test",
    );
    let sdk = SdkConfig::builder()
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .time_source(SystemTimeSource::new())
        .build();
    let generator = AuthTokenGenerator::new(
        TokenConfig::builder()
            .hostname(host)
            .region(Region::new(region.to_owned()))
            .build()
            .unwrap(),
    );
    let token = match action {
        Action::DbConnect => generator.db_connect_auth_token(&sdk).await,
        Action::DbConnectAdmin => generator.db_connect_admin_auth_token(&sdk).await,
    };
    token.unwrap().as_str().to_owned()
}

/// Signs for this cluster.
pub(crate) async fn token(cluster: &LocalCluster, identity: &Identity, action: Action) -> String {
    sdk_token(identity, cluster.endpoint(), cluster.region(), action).await
}

/// Returns a TLS configuration that trusts the cluster, with ALPN.
pub(crate) fn tls(ca: &CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    config
}

/// Returns a configuration for this user, without the password.
pub(crate) fn config(cluster: &LocalCluster, user: &str) -> Config {
    let mut config = Config::new();
    config
        .host(cluster.endpoint())
        .hostaddr(cluster.address().ip())
        .port(cluster.address().port())
        .user(user)
        .dbname("postgres")
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct);
    config
}

/// Connects as this user, with a token of the right action signed by this identity.
pub(crate) async fn connect_as(
    cluster: &LocalCluster,
    user: &str,
    identity: &Identity,
) -> Result<Client, Error> {
    let token = token(cluster, identity, Action::for_user(user)).await;
    connect_with(cluster, config(cluster, user).password(token)).await
}

/// Connects as `admin`.
pub(crate) async fn connect(cluster: &LocalCluster) -> Client {
    connect_as(cluster, "admin", cluster.admin()).await.unwrap()
}

pub(crate) async fn connect_with(cluster: &LocalCluster, config: &Config) -> Result<Client, Error> {
    let tls = MakeRustlsConnect::new(tls(cluster.ca_der()));
    let (client, connection) = config.connect(tls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs each statement on its own.
pub(crate) async fn run(client: &Client, statements: &[&str]) {
    for statement in statements {
        client
            .batch_execute(statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
}

/// Returns the cluster's error.
pub(crate) fn refused<T>(result: Result<T, Error>) -> DbError {
    let error = result.err().expect("it is refused");
    let refusal = error.as_db_error();
    refusal
        .unwrap_or_else(|| panic!("not by the cluster: {error:?}"))
        .clone()
}

/// Compares a table of the README with what a test found, or writes it if `UPDATE_README` is set.
pub(crate) fn assert_documented(table: &str, rendered: &str) {
    const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let begin = format!("<!-- {table}: begin -->\n");
    let end = format!("<!-- {table}: end -->\n");
    let text = std::fs::read_to_string(README).unwrap();
    let (before, rest) = text.split_once(&begin).unwrap();
    let (written, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(README, [before, &begin, rendered, &end, after].concat()).unwrap();
    } else {
        assert_eq!(written, rendered, "write it with UPDATE_README=1");
    }
}
