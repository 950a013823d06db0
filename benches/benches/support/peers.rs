//! The compared pools, each used as its documentation shows.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aurora_dsql_sqlx_connector::{DsqlConnectOptionsBuilder, SharedCredentialsProvider};
use aws_credential_types::Credentials;
use bb8_postgres::PostgresConnectionManager;
use deadpool_postgres::{ManagerConfig, RecyclingMethod};
use dsql_conn::rustls::crypto::ring;
use dsql_conn::rustls::pki_types::CertificateDer;
use dsql_conn::rustls::pki_types::pem::PemObject;
use dsql_conn::rustls::{ClientConfig, RootCertStore};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Target;

/// A pool of connections, and the usual way to use it.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    type Loan: Send;
    type Error: Debug + Send;

    fn program(&self) -> &'static str;

    /// Checks out a connection; dropping it returns it.
    fn checkout(&self) -> impl Future<Output = Result<Self::Loan, Self::Error>> + Send;

    /// Runs `SELECT 1`.
    fn query(loan: &mut Self::Loan) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Runs `UPDATE` of one row in a transaction of its own, with the checkout.
    fn transaction(&self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Closes all connections, if dropping the pool is not enough.
    fn close(self) -> impl Future<Output = ()> + Send {
        async { drop(self) }
    }
}

/// The setup of a peer's pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Test {
    /// Connections are checked out without a test.
    Never,
    /// Each checkout pings the server.
    Each,
}

pub(crate) const STATEMENT: &str = "SELECT 1";
pub(crate) const TABLE: [&str; 2] = [
    "CREATE TABLE tally (id int PRIMARY KEY, n int8 NOT NULL)",
    "INSERT INTO tally VALUES (1, 0)",
];
const UPDATE: &str = "UPDATE tally SET n = n + 1 WHERE id = 1";

/// This crate's pool.
#[derive(Clone)]
pub(crate) struct Ours(pub(crate) dsql_conn::Pool);

impl Ours {
    pub(crate) fn new(target: &Target, size: u32) -> Self {
        let endpoint = target.endpoint.parse().expect("the cluster's own");
        let config = dsql_conn::Config::new(endpoint)
            .address(target.address.ip())
            .port(target.address.port())
            .credentials(credentials(target))
            .root_certificates_pem(target.ca_pem.as_bytes())
            .expect("the cluster's own");
        Self(dsql_conn::Pool::builder(config).max_size(size).build())
    }
}

impl Peer for Ours {
    type Loan = dsql_conn::PooledConnection;
    type Error = dsql_conn::Error;

    fn program(&self) -> &'static str {
        "dsql-conn"
    }

    async fn checkout(&self) -> Result<Self::Loan, Self::Error> {
        self.0.get().await
    }

    async fn query(loan: &mut Self::Loan) -> Result<(), Self::Error> {
        loan.query(STATEMENT, &[]).await?;
        Ok(())
    }

    async fn transaction(&self) -> Result<(), Self::Error> {
        self.0
            .transaction(async |tx| {
                tx.execute(UPDATE, &[]).await?;
                Ok(())
            })
            .await
    }
}

type Bb8Manager = PostgresConnectionManager<MakeRustlsConnect>;

/// `bb8-postgres`. Tests at each checkout by default.
#[derive(Clone)]
pub(crate) struct Bb8 {
    pool: bb8_postgres::bb8::Pool<Bb8Manager>,
    test: Test,
}

impl Bb8 {
    pub(crate) fn new(target: &Target, size: u32, test: Test) -> Self {
        let manager = PostgresConnectionManager::new(driver(target), tls(target));
        let pool = bb8_postgres::bb8::Pool::builder()
            .max_size(size)
            .test_on_check_out(test == Test::Each)
            .build_unchecked(manager);
        Self { pool, test }
    }
}

impl Peer for Bb8 {
    type Loan = bb8_postgres::bb8::PooledConnection<'static, Bb8Manager>;
    type Error = bb8_postgres::bb8::RunError<tokio_postgres::Error>;

    fn program(&self) -> &'static str {
        match self.test {
            Test::Never => "bb8-postgres, untested",
            Test::Each => "bb8-postgres",
        }
    }

    async fn checkout(&self) -> Result<Self::Loan, Self::Error> {
        self.pool.get_owned().await
    }

    async fn query(loan: &mut Self::Loan) -> Result<(), Self::Error> {
        loan.query(STATEMENT, &[]).await?;
        Ok(())
    }

    async fn transaction(&self) -> Result<(), Self::Error> {
        let mut loan = self.pool.get().await?;
        let transaction = loan.transaction().await?;
        transaction.execute(UPDATE, &[]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// `bb8-postgres` optimized for round trips: untested, and with given parameter types, so that
/// nothing is prepared.
#[derive(Clone)]
pub(crate) struct Typed(Bb8);

impl Typed {
    pub(crate) fn new(target: &Target, size: u32) -> Self {
        Self(Bb8::new(target, size, Test::Never))
    }
}

impl Peer for Typed {
    type Loan = <Bb8 as Peer>::Loan;
    type Error = <Bb8 as Peer>::Error;

    fn program(&self) -> &'static str {
        "bb8-postgres, untested, typed"
    }

    async fn checkout(&self) -> Result<Self::Loan, Self::Error> {
        self.0.checkout().await
    }

    async fn query(loan: &mut Self::Loan) -> Result<(), Self::Error> {
        loan.query_typed(STATEMENT, &[]).await?;
        Ok(())
    }

    async fn transaction(&self) -> Result<(), Self::Error> {
        let mut loan = self.0.pool.get().await?;
        let transaction = loan.transaction().await?;
        transaction.query_typed(UPDATE, &[]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// `deadpool-postgres`. Does not test by default.
#[derive(Clone)]
pub(crate) struct Deadpool {
    pool: deadpool_postgres::Pool,
    test: Test,
}

impl Deadpool {
    pub(crate) fn new(target: &Target, size: u32, test: Test) -> Self {
        let recycling_method = match test {
            Test::Never => RecyclingMethod::Fast,
            Test::Each => RecyclingMethod::Verified,
        };
        let manager = deadpool_postgres::Manager::from_config(
            driver(target),
            tls(target),
            ManagerConfig { recycling_method },
        );
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(size as usize)
            .build()
            .expect("no timeouts, so that it needs no runtime");
        Self { pool, test }
    }
}

impl Peer for Deadpool {
    type Loan = deadpool_postgres::Object;
    type Error = deadpool_postgres::PoolError;

    fn program(&self) -> &'static str {
        match self.test {
            Test::Never => "deadpool-postgres",
            Test::Each => "deadpool-postgres, tested",
        }
    }

    async fn checkout(&self) -> Result<Self::Loan, Self::Error> {
        self.pool.get().await
    }

    async fn query(loan: &mut Self::Loan) -> Result<(), Self::Error> {
        let statement = loan.prepare_cached(STATEMENT).await?;
        loan.query(&statement, &[]).await?;
        Ok(())
    }

    async fn transaction(&self) -> Result<(), Self::Error> {
        let mut loan = self.pool.get().await?;
        let transaction = loan.transaction().await?;
        let statement = transaction.prepare_cached(UPDATE).await?;
        transaction.execute(&statement, &[]).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// AWS's connector, which uses sqlx's pool. Tests at each checkout by default.
#[derive(Clone)]
pub(crate) struct Aws(sqlx::PgPool);

impl Aws {
    /// Connects through the Unix socket in a relay's folder: this driver connects to the host name
    /// that it verifies, and to no other address.
    pub(crate) async fn new(target: &Target, folder: &Path, size: u32) -> Self {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&target.endpoint)
            .socket(folder)
            .username("admin")
            .database("postgres")
            .ssl_root_cert_from_pem(target.ca_pem.clone().into_bytes());
        let config = DsqlConnectOptionsBuilder::default()
            .pg_connect_options(options)
            .credentials_provider(Some(SharedCredentialsProvider::new(credentials(target))))
            .build()
            .expect("all that is needed");
        let pool = PgPoolOptions::new().max_connections(size);
        let connecting = aurora_dsql_sqlx_connector::pool::connect_with(&config, pool);
        Self(connecting.await.expect("a connection"))
    }
}

impl Peer for Aws {
    type Loan = sqlx::pool::PoolConnection<sqlx::Postgres>;
    type Error = sqlx::Error;

    fn program(&self) -> &'static str {
        "aurora-dsql-sqlx-connector"
    }

    async fn checkout(&self) -> Result<Self::Loan, Self::Error> {
        self.0.acquire().await
    }

    async fn query(loan: &mut Self::Loan) -> Result<(), Self::Error> {
        sqlx::query(STATEMENT).fetch_all(&mut **loan).await?;
        Ok(())
    }

    async fn transaction(&self) -> Result<(), Self::Error> {
        let mut transaction = self.0.begin().await?;
        sqlx::query(UPDATE).execute(&mut *transaction).await?;
        transaction.commit().await
    }

    /// Dropping the pool is not enough: the task that refreshes tokens keeps it.
    async fn close(self) {
        self.0.close().await;
    }
}

fn credentials(target: &Target) -> Credentials {
    Credentials::new(
        &target.access_key_id,
        &target.secret_access_key,
        target.session_token.clone(),
        None,
        "benches",
    )
}

/// The driver's settings as tutorials show them.
fn driver(target: &Target) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config
        .host(&target.endpoint)
        .hostaddr(target.address.ip())
        .port(target.address.port())
        .user("admin")
        .dbname("postgres")
        .password(&target.token)
        .ssl_mode(SslMode::Require);
    config
}

/// All use ring, so that the comparison is between pools, not cryptography.
fn tls(target: &Target) -> MakeRustlsConnect {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(target.ca_pem.as_bytes());
    roots
        .add(certificate.expect("the cluster's own"))
        .expect("the cluster's own");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3 is among them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    MakeRustlsConnect::new(config)
}

/// Opens all connections of a pool, and uses each once.
pub(crate) async fn warm<P: Peer>(peer: &P, size: u32) {
    let mut loans = Vec::new();
    for _ in 0..size {
        let mut loan = checked_out(peer).await;
        P::query(&mut loan).await.expect("an answer");
        loans.push(loan);
    }
    drop(loans);
    // Some pools return connections in a task of their own.
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A checkout that must succeed.
pub(crate) async fn checked_out<P: Peer>(peer: &P) -> P::Loan {
    peer.checkout().await.expect("a connection")
}
