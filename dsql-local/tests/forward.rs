//! What the server forwards unchanged.

mod support;

use std::time::Duration;

use dsql_local::{Action, LocalCluster};
use futures_util::SinkExt;
use support::{config, connect, connect_with, token};
use tokio_postgres::types::ToSql;

#[tokio::test]
async fn copied_data_is_forwarded() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await
        .unwrap();
    for first in [0, 3_000] {
        let sink = client.copy_in("COPY t FROM STDIN").await.unwrap();
        tokio::pin!(sink);
        for id in first..first + 3_000 {
            sink.send(bytes::Bytes::from(format!("{id}\n")))
                .await
                .unwrap();
        }
        assert_eq!(sink.finish().await.unwrap(), 3_000);
    }
    let sink = client
        .copy_in::<_, bytes::Bytes>("COPY t FROM STDIN")
        .await
        .unwrap();
    drop(sink);
    assert_eq!(
        client.query("SELECT * FROM t", &[]).await.unwrap().len(),
        6_000
    );
    assert_eq!(
        client
            .execute("AWS IAM REVOKE x FROM 'y'", &[])
            .await
            .unwrap(),
        0
    );
}

#[tokio::test]
async fn pipelined_and_large_replies_are_forwarded() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    let large = "x".repeat(1024 * 1024);
    let parameters: [&(dyn ToSql + Sync); 1] = [&large];
    let queries =
        (0..8).map(|_| client.query_one("SELECT $1::text || repeat('y', 1000000)", &parameters));
    for row in futures_util::future::join_all(queries).await {
        assert_eq!(
            row.unwrap().get::<_, &str>(0).len(),
            large.len() + 1_000_000
        );
    }
    let log = &cluster.connections()[0];
    assert!(log.pipelined > 0, "{log:?}");
    let too_large = "x".repeat(11 * 1024 * 1024);
    let cut = client
        .query_one("SELECT $1::text", &[&too_large])
        .await
        .unwrap_err();
    assert!(cut.as_db_error().is_none(), "{cut:?}");
}

#[tokio::test]
async fn a_token_is_not_needed_once_connected() {
    let cluster = LocalCluster::start().await.unwrap();
    let token = token(&cluster, cluster.admin(), Action::DbConnectAdmin).await;
    let client = connect_with(&cluster, config(&cluster, "admin").password(token))
        .await
        .unwrap();
    cluster.clock().advance(Duration::from_secs(3_600));
    client.batch_execute("SELECT 1").await.unwrap();
}
