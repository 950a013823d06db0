//! A cluster of two Regions: one database behind two servers.

mod support;

use dsql_local::{Effect, Fault, LocalCluster, Stage, StartError};

use crate::support::connect;

async fn start() -> LocalCluster {
    let builder = LocalCluster::builder().peer_region("us-west-2");
    builder.start().await.unwrap()
}

#[tokio::test]
async fn both_regions_serve_the_same_data() {
    let home = start().await;
    let peer = home.peer().unwrap();
    assert_eq!((home.region(), peer.region()), ("us-east-1", "us-west-2"));
    assert_ne!(home.cluster_id(), peer.cluster_id());
    let (east, west) = (connect(&home).await, connect(peer).await);
    east.batch_execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        .await
        .unwrap();
    west.batch_execute("INSERT INTO t VALUES (1, 0)")
        .await
        .unwrap();
    assert_eq!(east.query("SELECT n FROM t", &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn transactions_of_two_regions_conflict() {
    let home = start().await;
    let (east, west) = (connect(&home).await, connect(home.peer().unwrap()).await);
    for statement in [
        "CREATE TABLE t (id int PRIMARY KEY, n int)",
        "INSERT INTO t VALUES (1, 0)",
    ] {
        east.batch_execute(statement).await.unwrap();
    }
    for session in [&east, &west] {
        session.batch_execute("BEGIN").await.unwrap();
        session
            .batch_execute("UPDATE t SET n = n + 1")
            .await
            .unwrap();
    }
    west.batch_execute("COMMIT").await.unwrap();
    let conflict = east.batch_execute("COMMIT").await.unwrap_err();
    assert_eq!(conflict.code().unwrap().code(), "40001");
}

#[tokio::test]
async fn each_region_has_its_own_faults_and_counters() {
    let home = start().await;
    let peer = home.peer().unwrap();
    let survivor = connect(peer).await;
    home.inject(Fault::at(Stage::Accept, Effect::Cut).always());
    home.cut_all();
    survivor.batch_execute("SELECT 1").await.unwrap();
    assert_eq!((home.counts().accepted, peer.counts().accepted), (0, 1));
}

#[tokio::test]
async fn two_regions_are_two() {
    let started = LocalCluster::builder()
        .peer_region("us-east-1")
        .start()
        .await;
    assert!(matches!(started, Err(StartError::PeerRegion { .. })));
}
