//! What passes the front unharmed, and conflicts, which the engine words otherwise than the service.

mod support;

use std::time::Duration;

use dsql_local::{Action, LocalCluster};
use futures_util::SinkExt;
use support::{config, connect, connect_with, token};
use tokio_postgres::types::ToSql;

#[tokio::test]
async fn conflicts_of_the_engine_are_told_in_the_services_words() {
    let cluster = LocalCluster::start().await.unwrap();
    let one = connect(&cluster).await;
    one.batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await
        .unwrap();
    let two = connect(&cluster).await;
    one.batch_execute("INSERT INTO t VALUES (1), (2)")
        .await
        .unwrap();
    let both = [&one, &two];
    for client in both {
        client.batch_execute("BEGIN").await.unwrap();
        client.batch_execute("SELECT * FROM t").await.unwrap();
    }
    // 55P03: a row that is locked; then 40001: a row that has changed; then 40P01: a deadlock.
    one.batch_execute("UPDATE t SET id = 3 WHERE id = 1")
        .await
        .unwrap();
    let locked = two
        .batch_execute("UPDATE t SET id = 4 WHERE id = 1")
        .await
        .unwrap_err();
    two.batch_execute("ROLLBACK; BEGIN; SELECT * FROM t")
        .await
        .unwrap();
    one.batch_execute("COMMIT").await.unwrap();
    let changed = two
        .batch_execute("UPDATE t SET id = 4 WHERE id = 1")
        .await
        .unwrap_err();
    two.batch_execute("ROLLBACK").await.unwrap();
    for (client, id) in both.iter().zip([2, 3]) {
        client
            .batch_execute(&format!("BEGIN; UPDATE t SET id = id WHERE id = {id}"))
            .await
            .unwrap();
    }
    let crossed = tokio::join!(
        one.batch_execute("UPDATE t SET id = id WHERE id = 3"),
        two.batch_execute("UPDATE t SET id = id WHERE id = 2"),
    );
    let deadlocked = crossed.0.and(crossed.1).unwrap_err();
    for error in [locked, changed, deadlocked] {
        let error = error.as_db_error().unwrap();
        assert_eq!((error.severity(), error.code().code()), ("ERROR", "40001"));
        assert_eq!(
            error.message(),
            "change conflicts with another transaction (OC000)"
        );
    }
}

#[tokio::test]
async fn copied_data_passes() {
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
async fn pipelined_and_large_answers_pass() {
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
