//! Clients connect as they do to the service, and are refused where they do not.

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dsql_local::{Action, LocalCluster, Outcome, Refusal};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use support::{config, connect, connect_as, connect_with, tls, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{Config, NoTls};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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
async fn a_stock_client_connects_after_asking_for_tls() {
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
        "host={} hostaddr=127.0.0.1 port={} user=admin dbname=postgres sslmode=verify-full sslrootcert={}",
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
async fn the_client_is_told_what_the_service_reports() {
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
async fn settings_of_the_startup_packet_reach_the_session() {
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
async fn what_the_engine_refuses_ends_the_session_at_its_first_statement() {
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
async fn without_a_server_name_the_refusal_says_so() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut tls_config = tls(cluster.ca_der());
    tls_config.enable_sni = false;
    let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls_config);
    let refused = config(&cluster, "admin")
        .password("x")
        .connect(tls)
        .await
        .err()
        .unwrap();
    let error = refused.as_db_error().unwrap();
    assert_eq!(error.severity(), "FATAL");
    assert_eq!(
        error.message(),
        "unable to accept connection, sni was not received"
    );
    assert_eq!(
        cluster
            .counts()
            .refused(|refusal| *refusal == Refusal::NoSni),
        1
    );
}

#[tokio::test]
async fn another_clusters_server_name_finds_nothing() {
    let cluster = LocalCluster::start().await.unwrap();
    let other = LocalCluster::start().await.unwrap();
    assert!(
        handshake(&cluster, other.endpoint(), tls(cluster.ca_der()))
            .await
            .is_err()
    );
    assert!(
        handshake(&cluster, cluster.endpoint(), tls(other.ca_der()))
            .await
            .is_err()
    );
    assert!(
        handshake(&cluster, cluster.endpoint(), tls(cluster.ca_der()))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn direct_tls_without_alpn_is_cut() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut config = tls(cluster.ca_der());
    config.alpn_protocols.clear();
    // A TLS 1.3 client is done before the server looks.
    let mut stream = handshake(&cluster, cluster.endpoint(), config)
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _either_way = stream.read_to_end(&mut answer).await;
    assert_eq!(answer, b"");

    let mut config = tls(cluster.ca_der());
    config.alpn_protocols = vec![b"h2".to_vec()];
    assert!(
        handshake(&cluster, cluster.endpoint(), config)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn clear_text_is_refused() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut config = config(&cluster, "admin");
    config
        .ssl_mode(SslMode::Disable)
        .ssl_negotiation(SslNegotiation::Postgres)
        .password("x");
    let refused = config.connect(NoTls).await.err().unwrap();
    let error = refused.as_db_error().unwrap();
    assert_eq!(error.severity(), "FATAL");
    assert_eq!(
        cluster
            .counts()
            .refused(|refusal| *refusal == Refusal::NoTls),
        1
    );
    assert_eq!(cluster.counts().logins, 0);
}

#[tokio::test]
async fn gss_is_declined_and_cancelling_changes_nothing() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 48])
        .await
        .unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'N');
    stream
        .write_all(&[0, 0, 0, 8, 4, 210, 22, 47])
        .await
        .unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'S');

    let client = connect(&cluster).await;
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream
        .write_all(&[0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2])
        .await
        .unwrap();
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(cluster.counts().cancel_requests, 1);
}

#[tokio::test]
async fn tls_sessions_are_resumed() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls(cluster.ca_der()));
    let mut config = config(&cluster, "admin");
    config.password(token);
    for _ in 0..3 {
        let (client, connection) = config.connect(tls.clone()).await.unwrap();
        let driver = tokio::spawn(connection);
        client.batch_execute("SELECT 1").await.unwrap();
        drop(client);
        driver.await.unwrap().unwrap();
    }
    let counts = cluster.counts();
    assert_eq!(
        (counts.tls_full, counts.tls_resumed, counts.tls_hello_retry),
        (1, 2, 0)
    );
}

#[tokio::test]
async fn flights_are_logged_as_the_client_sent_them() {
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
async fn a_login_that_takes_too_long_is_cut() {
    let cluster = LocalCluster::builder()
        .login_deadline(Duration::from_millis(50))
        .start()
        .await
        .unwrap();
    let mut silent = TcpStream::connect(cluster.address()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(cluster.connections()[0].outcome, Outcome::LoginTimedOut);
}

#[tokio::test]
async fn endless_startup_packets_and_passwords_are_cut() {
    let cluster = LocalCluster::start().await.unwrap();
    for flood in [
        [0x7f, 0xff, 0xff, 0xff].as_slice(),
        &[0xff; 8],
        &[0, 0, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut clear = TcpStream::connect(cluster.address()).await.unwrap();
        clear.write_all(flood).await.unwrap();
        let _either_way = clear.read_to_end(&mut Vec::new()).await;

        let mut inside = handshake(&cluster, cluster.endpoint(), tls(cluster.ca_der()))
            .await
            .unwrap();
        inside.write_all(flood).await.unwrap();
        let _either_way = inside.read_to_end(&mut Vec::new()).await;
    }
    let connected = connect_with(
        &cluster,
        config(&cluster, "admin").password("x".repeat(70_000)),
    )
    .await;
    assert!(connected.is_err());
    assert_eq!(cluster.counts().logins, 0);
    connect(&cluster).await;
}

#[tokio::test]
async fn clusters_of_a_process_share_an_engine_and_no_data() {
    let (one, two) = tokio::join!(LocalCluster::start(), LocalCluster::start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.folder(), two.folder());
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

async fn handshake(
    cluster: &LocalCluster,
    name: &str,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(cluster.address()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}
