//! Whatever a client sends, its connection ends in order and the cluster goes on.

mod support;

use std::sync::Arc;
use std::time::Duration;

use dsql_local::{Action, LocalCluster, Outcome};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::pki_types::ServerName;
use support::{connect, tls, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Frames and texts that lead somewhere, for mutations to start from.
const SEEDS: &[&[u8]] = &[
    b"Q\0\0\0\x0dSELECT 1\0",
    b"P\0\0\0\x0f\0COMMIT\0\0\0",
    b"P\0\0\0\x23s\0AWS IAM GRANT app TO 'x'\0\0\0",
    b"B\0\0\0\x0c\0\0\0\0\0\0\0\0",
    b"B\0\0\0\x0d\0s\0\0\0\0\0\0\0",
    b"D\0\0\0\x06P\0",
    b"E\0\0\0\x09\0\0\0\0\0",
    b"C\0\0\0\x06S\0",
    b"S\0\0\0\x04",
    b"H\0\0\0\x04",
    b"Q\0\0\0\x15COPY t FROM STDIN\0",
    b"d\0\0\0\x06x\n",
    b"c\0\0\0\x04",
    b"f\0\0\0\x05\0",
    b"F\0\0\0\x0e\0\0\0\0\0\0\0\0\0\0",
    b"Q\0\0\0\x0bBEGIN;\0",
    b"Q\0\0\0\x15CREATE ROLE a; END\0",
];

fn hostile(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.random_range(1..12) {
        bytes.extend_from_slice(SEEDS[rng.random_range(0..SEEDS.len())]);
    }
    for _ in 0..rng.random_range(0..3) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..3) {
            0 => bytes[at] = rng.random(),
            1 => bytes.truncate(at + 1),
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes
}

#[tokio::test]
async fn sessions_survive_any_frames() {
    let cluster = LocalCluster::start().await.unwrap();
    let admin = connect(&cluster).await;
    admin
        .batch_execute("CREATE TABLE t (id text PRIMARY KEY)")
        .await
        .unwrap();
    drop(admin);
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let connector = TlsConnector::from(Arc::new(tls(cluster.ca_der())));
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..150 {
        let stream = TcpStream::connect(cluster.address()).await.unwrap();
        let name = ServerName::try_from(cluster.endpoint().to_owned()).unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        let mut bytes = login(&token);
        bytes.extend(hostile(&mut rng));
        stream.write_all(&bytes).await.unwrap();
        // The end of what the client has to say is the end of the session, or its bytes were before.
        stream
            .shutdown()
            .await
            .unwrap_or_else(|error| println!("seed {seed}: {error}"));
        let _either_way = stream.read_to_end(&mut Vec::new()).await;
    }
    connect(&cluster)
        .await
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    assert_eq!(cluster.counts().logins, 152);
    let connections = cluster.connections();
    for log in &connections[1..connections.len() - 1] {
        let ended = matches!(
            log.outcome,
            Outcome::Closed | Outcome::Refused(_) | Outcome::Failed(_)
        );
        assert!(ended, "seed {seed}: {log:?}");
    }
}

#[tokio::test]
async fn the_listener_survives_any_bytes() {
    let cluster = LocalCluster::start().await.unwrap();
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..150 {
        let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
        let mut bytes: Vec<u8> = (0..rng.random_range(1..64)).map(|_| rng.random()).collect();
        // TLS records, startup packets, anything.
        let beginnings: [&[u8]; 3] = [&[0x16, 3, 1, 0], &[0, 0, 0, 40, 0, 3, 0, 0], &[]];
        let beginning = beginnings[rng.random_range(0..3)];
        bytes.splice(0..0, beginning.iter().copied());
        let _either_way = stream.write_all(&bytes).await;
        let _either_way = stream.shutdown().await;
        let _either_way = stream.read_to_end(&mut Vec::new()).await;
    }
    connect(&cluster)
        .await
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    let connections = cluster.connections();
    for log in &connections[..connections.len() - 1] {
        assert_ne!(log.outcome, Outcome::LoggingIn, "seed {seed}: {log:?}");
        assert_ne!(log.outcome, Outcome::Open, "seed {seed}: {log:?}");
    }
}

#[tokio::test]
async fn what_announces_too_much_is_closed_before_it_comes() {
    let cluster = LocalCluster::start().await.unwrap();
    let connector = TlsConnector::from(Arc::new(tls(cluster.ca_der())));
    let startup = login("");
    let startup = &startup[..startup.len() - 6];
    let too_long_a_password = [startup, b"p\x7f\xff\xff\xff"].concat();
    for announced in [
        &b"\x7f\xff\xff\xff\0\x03\0\0"[..],
        b"\xff\xff\xff\xff",
        &too_long_a_password,
    ] {
        let stream = TcpStream::connect(cluster.address()).await.unwrap();
        let name = ServerName::try_from(cluster.endpoint().to_owned()).unwrap();
        let mut stream = connector.connect(name, stream).await.unwrap();
        stream.write_all(announced).await.unwrap();
        // Nothing more is sent, and nothing more waited for.
        let _either_way = stream.read_to_end(&mut Vec::new()).await;
    }
    let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
    stream.write_all(b"\x7f\xff\xff\xff").await.unwrap();
    let _either_way = stream.read_to_end(&mut Vec::new()).await;
    for log in cluster.connections() {
        assert!(matches!(log.outcome, Outcome::Failed(_)), "{log:?}");
    }
}

#[tokio::test]
async fn a_login_that_never_comes_is_given_up() {
    let cluster = LocalCluster::builder()
        .login_deadline(Duration::from_millis(20))
        .start()
        .await
        .unwrap();
    for beginning in [&b""[..], &[0x16, 3, 1], b"\0\0\0"] {
        let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let _either_way = stream.read_to_end(&mut Vec::new()).await;
    }
    for log in cluster.connections() {
        assert_eq!(log.outcome, Outcome::LoginTimedOut);
    }
}

/// The startup packet and the password in one flight.
fn login(token: &str) -> Vec<u8> {
    let parameters = b"\0\x03\0\0user\0admin\0database\0postgres\0\0";
    let mut bytes = (4 + parameters.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(parameters);
    bytes.push(b'p');
    bytes.extend_from_slice(&(5 + token.len() as u32).to_be_bytes());
    bytes.extend_from_slice(token.as_bytes());
    bytes.push(0);
    bytes
}
