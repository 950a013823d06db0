//! The token sent with the startup packet: to the local cluster, and to a real PostgreSQL with its
//! own authentication.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dsql_conn::{Config, Reason};
use dsql_local::{Fault, LocalCluster, Refusal};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{Clock, builder, cluster, config, pool};

#[tokio::test]
async fn token_is_sent_with_the_startup_packet() {
    let cluster = cluster().await;
    let config = config(&cluster).password_in_startup_flight(true);
    let one = config
        .connect()
        .await
        .unwrap()
        .query_one("SELECT 1", &[])
        .await;
    assert_eq!(one.unwrap().get::<_, i32>(0), 1);
    assert_eq!(cluster.counts().accepted, 1);
    assert!(cluster.connections()[0].early_password);

    let usual = pool(&cluster, 1);
    drop(usual.get().await.unwrap());
    assert!(!cluster.connections()[1].early_password);
}

#[tokio::test]
async fn refusal_reads_as_in_the_usual_order() {
    let cluster = cluster().await;
    let config = config(&cluster).password_in_startup_flight(true);
    cluster.inject(Fault::refuse(Refusal::NotGranted {
        arn: "arn:aws:iam::123456789012:role/api".to_owned(),
    }));
    let error = config.connect().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::NotAuthorized), "{error}");
    assert_eq!(cluster.counts().accepted, 1);
}

#[tokio::test]
async fn postgresql_that_wants_a_password_accepts_it() {
    let cluster = authenticated_by("password").await;
    let front = Front::before(Arc::clone(&cluster)).await;
    let connection = front.config(&cluster).connect().await.unwrap();
    let row = connection.query_one("SELECT current_user::text", &[]).await;
    assert_eq!(row.unwrap().get::<_, &str>(0), role(&cluster));
    let early = front.early.lock().unwrap();
    assert!(matches!(&**early, [Some(_)]));
}

#[tokio::test]
async fn other_login_methods_of_postgresql_use_the_usual_order() {
    for method in ["trust", "scram-sha-256", "md5"] {
        let cluster = authenticated_by(method).await;
        let front = Front::before(Arc::clone(&cluster)).await;
        let pool = builder(front.config(&cluster)).max_size(2).build();
        let first = pool.get().await.unwrap();
        let second = pool.get().await.unwrap();
        for connection in [first, second] {
            connection.batch_execute("SELECT 1").await.unwrap();
        }
        // The first connection was opened twice; the client remembers the order from then on.
        let early = front.early.lock().unwrap();
        assert!(matches!(&**early, [Some(_), None, None]), "{method}");
        assert_eq!(front.accepted.load(Ordering::SeqCst), 3);
    }
}

/// A TLS front for the cluster's engine, which is a PostgreSQL with its own authentication.
struct Front {
    address: SocketAddr,
    /// The engine's name for the cluster's database.
    database: String,
    authority: CertificateDer<'static>,
    accepted: Arc<AtomicU32>,
    /// The bytes behind the startup packet in the first read of each connection.
    early: Arc<Mutex<Vec<Option<String>>>>,
}

impl Front {
    /// Sets the role's password to the first one that arrives.
    async fn before(cluster: Arc<LocalCluster>) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = vec![cluster.endpoint().to_owned()];
        let certificate = CertificateParams::new(names)
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let authority = certificate.der().clone();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![authority.clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"postgresql".to_vec()];

        let rows = cluster.query("SELECT current_database()").await.unwrap();
        let database = rows[0][0].clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            database: database.unwrap(),
            authority,
            accepted: Arc::default(),
            early: Arc::default(),
        };
        let (accepted, early) = (Arc::clone(&front.accepted), Arc::clone(&front.early));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                let Ok(mut client) = acceptor.accept(socket).await else {
                    continue;
                };
                let mut said = vec![0; 8192];
                let length = client.read(&mut said).await.unwrap_or_default();
                let said = &said[..length];
                let password = early_password(said);
                if let Some(password) = &password {
                    let alter = format!("ALTER ROLE {} PASSWORD '{password}'", role(&cluster));
                    cluster.query(&alter).await.unwrap();
                }
                early.lock().unwrap().push(password);
                let socket = cluster.folder().join(".s.PGSQL.5432");
                let mut engine = UnixStream::connect(socket).await.unwrap();
                engine.write_all(said).await.unwrap();
                tokio::spawn(async move {
                    let _ = copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
        front
    }

    fn config(&self, cluster: &LocalCluster) -> Config {
        config(cluster)
            .address(self.address.ip())
            .port(self.address.port())
            .root_certificates([self.authority.clone()])
            .unwrap()
            // The engine knows one token; it does not change while the clock stands still.
            .time_source(Clock::default())
            .user(role(cluster))
            .database(&self.database)
            .password_in_startup_flight(true)
    }
}

/// Reads the password message behind a startup packet.
fn early_password(said: &[u8]) -> Option<String> {
    let length = said
        .first_chunk()
        .map(|length| u32::from_be_bytes(*length))?;
    let message = said.get(length as usize..)?.strip_prefix(b"p")?;
    let password = message.get(4..)?.strip_suffix(&[0])?;
    Some(String::from_utf8(password.to_vec()).unwrap())
}

/// Makes the role, with this authentication method.
async fn authenticated_by(method: &str) -> Arc<LocalCluster> {
    let cluster = Arc::new(cluster().await);
    let role = role(&cluster);
    let create = format!("CREATE ROLE {role} LOGIN PASSWORD 'none yet'");
    cluster.query(&create).await.unwrap();
    prepend(
        &cluster.folder().join("data/pg_hba.conf"),
        &format!("local all {role} {method}\n"),
    );
    cluster.query("SELECT pg_reload_conf()").await.unwrap();
    cluster
}

fn prepend(file: &Path, line: &str) {
    let rules = std::fs::read_to_string(file).unwrap();
    std::fs::write(file, line.to_owned() + &rules).unwrap();
}

/// Other clusters may share the engine.
fn role(cluster: &LocalCluster) -> String {
    format!("early_{}", cluster.cluster_id())
}
