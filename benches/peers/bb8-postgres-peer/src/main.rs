//! The first row of a new process through bb8-postgres: the SDK's default chain, rustls with its
//! default features, native certificates.

use std::env;
use std::error::Error;

use aws_config::BehaviorVersion;
use aws_sdk_dsql::auth_token::{AuthTokenGenerator, Config as TokenConfig};
use bb8_postgres::PostgresConnectionManager;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let host = env::var("DSQL_ENDPOINT")?;
    let sdk = aws_config::load_defaults(BehaviorVersion::latest()).await;
    let signer = AuthTokenGenerator::new(TokenConfig::builder().hostname(&host).build()?);
    let token = signer.db_connect_admin_auth_token(&sdk).await?;

    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let mut config = tokio_postgres::Config::new();
    config
        .host(&host)
        .hostaddr(env::var("DSQL_HOSTADDR")?.parse()?)
        .port(env::var("DSQL_PORT")?.parse()?)
        .user("admin")
        .password(token.as_str())
        .dbname("postgres")
        .ssl_mode(SslMode::Require);
    let manager = PostgresConnectionManager::new(config, MakeRustlsConnect::new(tls));
    let pool = bb8::Pool::builder().build(manager).await?;
    let row = pool.get().await?.query_one("SELECT 1", &[]).await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
