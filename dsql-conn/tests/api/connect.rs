//! Opening a connection: what is sent, and which settings hold from the start.

use std::time::Duration;

use dsql_conn::rustls::{self, ClientConfig, RootCertStore};
use dsql_conn::tokio_postgres::config::SslNegotiation;
use dsql_conn::{Config, Endpoint, Pool};
use dsql_local::LocalCluster;

use crate::support::{cluster, config, credentials};

#[tokio::test]
async fn connection_uses_direct_tls_to_the_named_host() {
    let cluster = cluster().await;
    let connection = config(&cluster)
        .application_name("orders")
        .connect()
        .await
        .unwrap();
    let row = connection.query_one("SELECT current_user::text", &[]).await;
    assert_eq!(row.unwrap().get::<_, &str>(0), "admin");

    let counts = cluster.counts();
    assert_eq!((counts.direct, counts.ssl_request), (1, 0));
    assert_eq!(counts.tls_hello_retry, 0);
    let log = &cluster.connections()[0];
    assert_eq!(log.sni.as_deref(), Some(cluster.endpoint()));
    assert_eq!(log.alpn.as_deref(), Some("postgresql"));
    assert_eq!(log.application_name.as_deref(), Some("orders"));
}

/// TCP, TLS, the startup packet, the token and the query: each waits for the reply to the one
/// before.
fn round_trips(cluster: &LocalCluster) -> usize {
    let counts = cluster.counts();
    assert_eq!(
        (counts.accepted, counts.ssl_request, counts.tls_hello_retry),
        (1, 0, 0)
    );
    let log = &cluster.connections()[0];
    assert_eq!(log.pipelined, 0);
    3 + usize::from(!log.early_password) + log.flights.len()
}

#[tokio::test]
async fn first_row_takes_as_few_round_trips_as_documented() {
    for is_early in [false, true] {
        let saved = usize::from(is_early);
        let start = async || {
            let cluster = cluster().await;
            let config = config(&cluster).password_in_startup_flight(is_early);
            (cluster, Pool::new(config))
        };

        let (cluster, pool) = start().await;
        let connection = pool.get().await.unwrap();
        let typed = connection.query_typed("SELECT 1", &[]).await.unwrap();
        assert_eq!(typed[0].get::<_, i32>(0), 1);
        assert_eq!(round_trips(&cluster), 5 - saved, "a typed query");

        let (cluster, pool) = start().await;
        let connection = pool.get().await.unwrap();
        connection.query("SELECT 1", &[]).await.unwrap();
        assert_eq!(round_trips(&cluster), 6 - saved, "a query");

        let (cluster, pool) = start().await;
        let one =
            pool.transaction(async |tx| Ok(tx.query_one("SELECT 1", &[]).await?.get::<_, i32>(0)));
        assert_eq!(one.await.unwrap(), 1);
        assert_eq!(round_trips(&cluster), 7 - saved, "a transaction");
    }
}

#[tokio::test]
async fn search_path_holds_from_the_start() {
    let cluster = cluster().await;
    let connection = config(&cluster)
        .search_path("games, \"a b\"")
        .connect()
        .await
        .unwrap();
    let row = connection.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "games, \"a b\"");
}

/// A configuration for a cluster with a private name, addressed by another endpoint.
fn by(cluster: &LocalCluster, endpoint: Endpoint) -> Config {
    Config::new(endpoint)
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()))
        .connect_timeout(Duration::from_secs(60))
}

#[tokio::test]
async fn private_name_is_signed_and_verified() {
    let cluster = LocalCluster::builder()
        .private_link("fnh4")
        .start()
        .await
        .unwrap();
    let private: Endpoint = cluster.private_endpoint().unwrap().parse().unwrap();
    by(&cluster, private.clone()).connect().await.unwrap();
    assert_eq!(
        cluster.connections()[0].sni.as_deref(),
        Some(private.host())
    );
}

#[tokio::test]
async fn interface_endpoint_gets_the_public_name_and_the_cluster() {
    let cluster = LocalCluster::builder()
        .private_link("fnh4")
        .start()
        .await
        .unwrap();
    let public: Endpoint = cluster.endpoint().parse().unwrap();
    let endpoint = public
        .via("vpce-0123456789abcdef0-abcdefgh.dsql-fnh4.us-east-1.vpce.amazonaws.com")
        .unwrap();
    let connection = by(&cluster, endpoint).connect().await.unwrap();
    connection.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(
        cluster.connections()[0].sni.as_deref(),
        Some(cluster.endpoint())
    );
}

#[tokio::test]
async fn settings_hold_from_the_start() {
    let cluster = cluster().await;
    let config = config(&cluster)
        .setting("TimeZone", "Europe/Paris")
        .unwrap();
    let connection = config.connect().await.unwrap();
    let row = connection.query_one("SHOW timezone", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "Europe/Paris");
}

#[tokio::test]
async fn tls_can_be_negotiated_first() {
    let cluster = cluster().await;
    let config = config(&cluster).ssl_negotiation(SslNegotiation::Postgres);
    config.connect().await.unwrap();
    let counts = cluster.counts();
    assert_eq!((counts.direct, counts.ssl_request), (0, 1));
}

#[tokio::test]
async fn callers_own_tls_configuration_is_used() {
    let cluster = cluster().await;
    let mut roots = RootCertStore::empty();
    roots.add(cluster.ca_der().clone()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config(&cluster)
        .tls_config(tls.into())
        .connect()
        .await
        .unwrap();
    assert_eq!(cluster.connections()[0].alpn.as_deref(), Some("postgresql"));
}

#[tokio::test]
async fn reconnects_resume_tls() {
    let cluster = cluster().await;
    let pool = crate::support::pool(&cluster, 1);
    for _ in 0..3 {
        let connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        cluster.cut_all();
        // The client notices the end of a session at its next use.
        connection.batch_execute("SELECT 1").await.unwrap_err();
    }
    let counts = cluster.counts();
    assert_eq!((counts.tls_full, counts.tls_resumed), (1, 2));
}
