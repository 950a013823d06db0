//! TLS: what the service requires of a connection.

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use dsql_local::{Action, LocalCluster, Outcome, Refusal};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use support::{config, connect, connect_with, tls, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::NoTls;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

#[tokio::test]
async fn a_login_without_server_name_is_refused() {
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
async fn another_clusters_server_name_is_refused() {
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
async fn certificate_expires_when_the_builder_says() {
    let now = SystemTime::now();
    let hour = Duration::from_secs(3_600);
    for (end, is_accepted) in [(now + hour, true), (now - hour, false)] {
        let cluster = LocalCluster::builder().certificate_end(end).start().await;
        let cluster = cluster.unwrap();
        let stream = handshake(&cluster, cluster.endpoint(), tls(cluster.ca_der())).await;
        assert_eq!(stream.is_ok(), is_accepted);
        if let Err(error) = stream {
            assert!(error.to_string().contains("expired"), "{error}");
        }
    }
}

#[tokio::test]
async fn direct_tls_without_alpn_is_cut() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut config = tls(cluster.ca_der());
    config.alpn_protocols.clear();
    // A TLS 1.3 client completes the handshake before the server checks.
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
    assert_eq!(error.code().code(), "08P01");
    assert_eq!(
        error.message(),
        "unable to accept connection, SSL is mandatory"
    );
    assert_eq!(
        cluster
            .counts()
            .refused(|refusal| *refusal == Refusal::NoTls),
        1
    );
    assert_eq!(cluster.counts().logins, 0);
}

#[tokio::test]
async fn gss_is_declined_and_cancel_requests_are_ignored() {
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
async fn a_login_past_its_deadline_is_cut() {
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
