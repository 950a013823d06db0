//! How clients connect.

mod support;

use std::process::Command;

use dsql_local::{Action, LocalCluster, Outcome};
use support::{config, connect, connect_as, connect_with, tls, token};
use tokio_postgres::config::SslNegotiation;
use tokio_postgres::{Config, NoTls};

#[tokio::test]
async fn a_stock_client_connects_with_direct_tls() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    let row = client
        .query_one("SELECT current_user::text, 6 * $1", &[&7])
        .await
        .unwrap();
    assert_eq!((row.get::<_, &str>(0), row.get::<_, i32>(1)), ("admin", 42));
    let counts = cluster.counts();
    assert_eq!(
        (counts.direct, counts.ssl_request, counts.logins),
        (1, 0, 1)
    );
    let log = &cluster.connections()[0];
    assert_eq!(log.sni.as_deref(), Some(cluster.endpoint()));
    assert_eq!(log.alpn.as_deref(), Some("postgresql"));
    assert_eq!(log.user.as_deref(), Some("admin"));
    assert_eq!(log.outcome, Outcome::Open);
}

#[tokio::test]
async fn a_stock_client_connects_with_ssl_request() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let mut config = config(&cluster, "admin");
    config
        .ssl_negotiation(SslNegotiation::Postgres)
        .password(token)
        .application_name("asks");
    let client = connect_with(&cluster, &config).await.unwrap();
    let row = client
        .query_one("SHOW application_name", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "asks");
    let counts = cluster.counts();
    assert_eq!((counts.direct, counts.ssl_request), (0, 1));
    assert_eq!(
        cluster.connections()[0].application_name.as_deref(),
        Some("asks")
    );
}

#[tokio::test]
async fn psql_connects_and_verifies_the_host() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), cluster.ca_pem()).unwrap();
    let target = format!(
        "host={} hostaddr=127.0.0.1 port={} user=admin dbname=postgres \
         sslmode=verify-full sslrootcert={}",
        cluster.endpoint(),
        cluster.address().port(),
        ca.path().display(),
    );
    let psql = move || {
        Command::new("psql")
            .args([
                &target,
                "-XAtc",
                "SELECT current_user",
                "-c",
                "SHOW transaction_isolation",
            ])
            .env("PGPASSWORD", token)
            .output()
            .expect("psql is on this machine: install postgresql-client")
    };
    let output = tokio::task::spawn_blocking(psql).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "admin\nrepeatable read\n"
    );
}

#[tokio::test]
async fn login_reports_the_services_parameters() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let (_client, connection) = config(&cluster, "admin")
        .password(token)
        .connect(tokio_postgres_rustls::MakeRustlsConnect::new(tls(
            cluster.ca_der()
        )))
        .await
        .unwrap();
    for (name, value) in [
        ("server_version", "16.15"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        assert_eq!(connection.parameter(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_login_opens_no_backend_until_the_first_statement() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    assert_eq!(cluster.counts().backends, 0);
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(cluster.counts().backends, 1);
}

#[tokio::test]
async fn startup_settings_apply_to_the_session() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let mut config = config(&cluster, "admin");
    config
        .password(token)
        .options("-c search_path=games -c TimeZone=Europe/Berlin");
    let client = connect_with(&cluster, &config).await.unwrap();
    let row = client
        .query_one(
            "SELECT current_setting('search_path'), current_setting('timezone')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, &str>(0), row.get::<_, &str>(1)),
        ("games", "Europe/Berlin")
    );
}

#[tokio::test]
async fn other_settings_and_databases_are_refused() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let mut with_timeout = config(&cluster, "admin");
    with_timeout
        .password(&token)
        .options("-c statement_timeout=5");
    let mut elsewhere = config(&cluster, "admin");
    elsewhere.password(&token).dbname("games");
    for (config, code, message) in [
        (
            with_timeout,
            "0A000",
            "setting configuration parameter \"statement_timeout\" not supported",
        ),
        (elsewhere, "3D000", "database \"games\" does not exist"),
    ] {
        let refused = connect_with(&cluster, &config).await.unwrap_err();
        let error = refused.as_db_error().unwrap();
        assert_eq!(
            (error.severity(), error.code().code(), error.message()),
            ("FATAL", code, message)
        );
    }
}

#[tokio::test]
async fn startup_errors_of_the_engine_end_the_session() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let mut config = config(&cluster, "admin");
    config.password(token).options("-c TimeZone=Mars");
    let client = connect_with(&cluster, &config).await.unwrap();
    let refused = client.batch_execute("SELECT 1").await.unwrap_err();
    let error = refused.as_db_error().unwrap();
    assert_eq!((error.severity(), error.code().code()), ("FATAL", "22023"));
    assert!(error.message().contains("Mars"), "{error:?}");
}

#[tokio::test]
async fn flights_are_logged() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    client.batch_execute("SELECT 1").await.unwrap();
    let statement = client.prepare("SELECT $1::int4").await.unwrap();
    client.query_one(&statement, &[&1]).await.unwrap();
    client.query_one(&statement, &[&2]).await.unwrap();
    let log = &cluster.connections()[0];
    assert_eq!(log.flights, ["Q", "PDS", "BES", "BES"]);
    assert_eq!(log.pipelined, 0);
    assert_eq!(cluster.counts().statements, 3);
}

#[tokio::test]
async fn clusters_of_one_process_share_no_data() {
    let (one, two) = tokio::join!(LocalCluster::start(), LocalCluster::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.folder(), two.folder());
    assert_ne!(one.endpoint(), two.endpoint());
    connect(&one)
        .await
        .batch_execute("CREATE TABLE only_here (id int PRIMARY KEY)")
        .await
        .unwrap();
    let missing = connect(&two)
        .await
        .batch_execute("SELECT FROM only_here")
        .await
        .unwrap_err();
    assert_eq!(missing.code().unwrap().code(), "42P01");
    assert!(connect_as(&two, "admin", one.admin()).await.is_err());
}

#[tokio::test]
async fn a_dropped_cluster_closes_its_connections() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    let address = cluster.address();
    drop(cluster);
    assert!(client.batch_execute("SELECT 1").await.is_err());
    let mut config = Config::new();
    config
        .host(address.ip().to_string())
        .port(address.port())
        .user("x");
    assert!(config.connect(NoTls).await.is_err());
}
