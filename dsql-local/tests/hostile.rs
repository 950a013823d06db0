//! Any bytes from a client: its connection ends properly, and the cluster keeps serving.

mod corpus;
mod support;

use std::sync::Arc;
use std::time::Duration;

use corpus::mutated;
use dsql_local::{Action, LocalCluster, Outcome};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustls::pki_types::ServerName;
use support::{connect, tls, token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

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
    for frames in some(mutated("request"), SESSIONS) {
        let mut bytes = login(&token);
        bytes.extend(&frames);
        send_over_tls(&cluster, &bytes).await;
        // The session ends with the client's bytes, or before.
        assert_ended(&cluster, &frames).await;
    }
    assert_eq!(cluster.counts().logins, 1 + SESSIONS as u64);
    assert_serves(&cluster).await;
}

#[tokio::test]
async fn logins_survive_any_packets() {
    let cluster = LocalCluster::start().await.unwrap();
    let packet = (mutated("startup"), -1..=1_i32, mutated("token"));
    let packet = packet.prop_map(|(packet, wrong, token)| {
        let length = packet.len() as i32 + 4;
        // The length may be one byte too short or too long.
        let mut bytes = (length + wrong).to_be_bytes().to_vec();
        bytes.extend(packet);
        bytes.push(b'p');
        bytes.extend((token.len() as u32 + 5).to_be_bytes());
        bytes.extend(token);
        bytes.push(0);
        bytes
    });
    for bytes in some(packet, 100) {
        send_over_tls(&cluster, &bytes).await;
        assert_ended(&cluster, &bytes).await;
    }
    assert_eq!(cluster.counts().logins, 0);
    assert_serves(&cluster).await;
}

/// Generates inputs, different ones in each run.
fn some<T: std::fmt::Debug>(inputs: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let inputs = prop::collection::vec(inputs, count);
    inputs
        .new_tree(&mut TestRunner::default())
        .unwrap()
        .current()
}

/// Sends bytes over TLS, and waits until the connection ends.
async fn send_over_tls(cluster: &LocalCluster, bytes: &[u8]) {
    let connector = TlsConnector::from(Arc::new(tls(cluster.ca_der())));
    let stream = TcpStream::connect(cluster.address()).await.unwrap();
    let name = ServerName::try_from(cluster.endpoint().to_owned()).unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    // The cluster may close the connection at any byte.
    let _either_way = stream.write_all(bytes).await;
    let _either_way = stream.shutdown().await;
    let _either_way = stream.read_to_end(&mut Vec::new()).await;
}

/// Checks that the latest connection ended without a panic, and that no socket and no backend is
/// open.
async fn assert_ended(cluster: &LocalCluster, bytes: &[u8]) {
    until_all_ended(cluster).await;
    let bytes = bytes.escape_ascii();
    assert_eq!(cluster.counts().backends, 0, "{bytes}");
    let connections = cluster.connections();
    let log = connections.last().unwrap();
    let ended = matches!(
        log.outcome,
        Outcome::Closed | Outcome::Refused(_) | Outcome::Failed(_)
    );
    assert!(ended, "{bytes}: {log:?}");
}

/// Waits until every socket is closed.
async fn until_all_ended(cluster: &LocalCluster) {
    let ended = async {
        while cluster.counts().open > 0 {
            tokio::task::yield_now().await;
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(60), ended).await;
    assert!(ended.is_ok(), "left open: {:?}", cluster.connections());
}

async fn assert_serves(cluster: &LocalCluster) {
    let client = connect(cluster).await;
    client.batch_execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn the_listener_survives_any_bytes() {
    let cluster = LocalCluster::start().await.unwrap();
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..150 {
        let mut stream = TcpStream::connect(cluster.address()).await.unwrap();
        let mut bytes: Vec<u8> = (0..rng.random_range(1..64)).map(|_| rng.random()).collect();
        // TLS records, startup packets, or anything else.
        let beginnings: [&[u8]; 3] = [&[0x16, 3, 1, 0], &[0, 0, 0, 40, 0, 3, 0, 0], &[]];
        let beginning = beginnings[rng.random_range(0..3)];
        bytes.splice(0..0, beginning.iter().copied());
        let _either_way = stream.write_all(&bytes).await;
        let _either_way = stream.shutdown().await;
        let _either_way = stream.read_to_end(&mut Vec::new()).await;
    }
    until_all_ended(&cluster).await;
    for log in cluster.connections() {
        assert_ne!(log.outcome, Outcome::LoggingIn, "seed {seed}: {log:?}");
        assert_ne!(log.outcome, Outcome::Open, "seed {seed}: {log:?}");
    }
    assert_serves(&cluster).await;
}

#[tokio::test]
async fn oversized_messages_close_before_they_arrive() {
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
        // The cluster closes without waiting for the rest.
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
async fn a_login_without_bytes_times_out() {
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

const SESSIONS: usize = 200;

/// Returns the startup packet and the password, to send in one flight.
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
