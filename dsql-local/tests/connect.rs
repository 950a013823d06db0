//! Clients connect as they do to the service, and are refused where they do not.

mod support;

use dsql_local::{LocalCluster, Outcome};
use support::{config, connect, connect_with};
use tokio_postgres::config::SslNegotiation;

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
    assert_eq!(log.outcome, Outcome::Open);
}
