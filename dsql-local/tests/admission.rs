//! Which connections are admitted, when sessions expire, and what wakes a sleeping cluster.

mod support;

use std::time::{Duration, Instant};

use dsql_local::{Builder, LocalCluster, Outcome, Refusal, WakeUp};
use support::{connect, connect_as, refused, run};
use tokio_postgres::{Client, Error};

const HOUR: Duration = Duration::from_secs(3_600);

async fn start(builder: Builder) -> LocalCluster {
    builder.start().await.unwrap()
}

async fn try_connect(cluster: &LocalCluster) -> Result<Client, Error> {
    connect_as(cluster, "admin", cluster.admin()).await
}

/// Waits until the connection with this index has ended.
async fn ended(cluster: &LocalCluster, index: usize) -> Outcome {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        match &cluster.connections()[index].outcome {
            open @ (Outcome::LoggingIn | Outcome::Open) => {
                assert!(Instant::now() < give_up, "{open:?}");
                tokio::task::yield_now().await;
            }
            ended => return ended.clone(),
        }
    }
}

#[tokio::test]
async fn connections_above_the_burst_are_refused_for_a_time() {
    let cluster = start(LocalCluster::builder().connection_rate(3, 1)).await;
    // On a slow machine the rate may admit a fourth one.
    let error = loop {
        match try_connect(&cluster).await {
            Ok(_) => {}
            Err(error) => break refused::<()>(Err(error)),
        }
    };
    assert!(cluster.counts().logins >= 3);
    assert_eq!(
        (error.severity(), error.code().code(), error.message()),
        (
            "FATAL",
            "53400",
            "Unable to accept connection, rate exceeded."
        )
    );
    cluster.pass_time(Duration::from_secs(3));
    for _ in 0..3 {
        try_connect(&cluster).await.unwrap();
    }
}

#[tokio::test]
async fn a_refused_login_counts_for_the_rate() {
    let cluster = start(LocalCluster::builder().connection_rate(2, 0)).await;
    let nobody = cluster.iam_user("nobody", &[]);
    for code in ["08006", "08006", "53400"] {
        let error = refused(connect_as(&cluster, "admin", &nobody).await);
        assert_eq!(error.code().code(), code);
    }
    cluster.pass_time(HOUR);
    assert!(try_connect(&cluster).await.is_err());
}

#[tokio::test]
async fn sessions_above_the_maximum_are_refused() {
    let cluster = start(LocalCluster::builder().max_connections(2)).await;
    let (one, _two) = (connect(&cluster).await, connect(&cluster).await);
    let error = refused(try_connect(&cluster).await);
    assert_eq!(
        (error.severity(), error.code().code(), error.message()),
        (
            "FATAL",
            "53300",
            "Unable to accept connection, too many open connections."
        )
    );
    drop(one);
    while try_connect(&cluster).await.is_err() {}
    let refusals = cluster
        .counts()
        .refused(|refusal| *refusal == Refusal::TooManyConnections);
    assert!(refusals >= 1);
}

#[tokio::test]
async fn an_expired_idle_session_is_closed() {
    let cluster = LocalCluster::start().await.unwrap();
    let (silent, used) = (connect(&cluster).await, connect(&cluster).await);
    run(&used, &["SELECT 1"]).await;
    cluster.pass_time(HOUR - Duration::from_secs(60));
    run(&used, &["SELECT 1"]).await;
    cluster.pass_time(Duration::from_secs(60));
    for (index, client) in [silent, used].iter().enumerate() {
        assert_eq!(ended(&cluster, index).await, Outcome::Expired);
        let error = client.batch_execute("SELECT 1").await.unwrap_err();
        assert!(error.as_db_error().is_none(), "{error:?}");
    }
    assert_eq!(cluster.counts().expired, 2);
    // Later sessions are not expired, and neither are tokens.
    run(&connect(&cluster).await, &["SELECT 1"]).await;
}

#[tokio::test]
async fn an_expired_session_ends_after_its_transaction() {
    let cluster = start(LocalCluster::builder().session_limit(HOUR / 2)).await;
    let client = connect(&cluster).await;
    run(&client, &["CREATE TABLE t (id int PRIMARY KEY)", "BEGIN"]).await;
    cluster.pass_time(HOUR / 2 - Duration::from_secs(120));
    run(&client, &["ROLLBACK", "BEGIN", "INSERT INTO t VALUES (1)"]).await;
    cluster.pass_time(Duration::from_secs(120));
    run(&client, &["INSERT INTO t VALUES (2)", "COMMIT"]).await;
    assert_eq!(ended(&cluster, 0).await, Outcome::Expired);
    assert_eq!(cluster.query("SELECT FROM t").await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_expired_session_ends_despite_an_open_transaction() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    cluster.pass_time(HOUR - Duration::from_secs(100));
    run(&client, &["BEGIN"]).await;
    cluster.pass_time(Duration::from_secs(250));
    run(&client, &["SELECT 1"]).await;
    cluster.pass_time(Duration::from_secs(150));
    assert_eq!(ended(&cluster, 0).await, Outcome::Expired);
    assert!(client.batch_execute("COMMIT").await.is_err());
}

#[tokio::test]
async fn a_sleeping_cluster_refuses_and_wakes_up() {
    let cluster = start(LocalCluster::builder().wake_up(WakeUp::Refusals(2))).await;
    let open = connect(&cluster).await;
    cluster.sleep();
    for _ in 0..2 {
        let error = refused(try_connect(&cluster).await);
        assert_eq!(
            (error.severity(), error.message()),
            (
                "FATAL",
                "unable to accept connection, waking up cluster, please retry later"
            )
        );
    }
    try_connect(&cluster).await.unwrap();
    run(&open, &["SELECT 1"]).await;

    let cluster = start(LocalCluster::builder().wake_up(WakeUp::Time(HOUR))).await;
    cluster.sleep();
    for _ in 0..3 {
        refused(try_connect(&cluster).await);
    }
    cluster.pass_time(HOUR);
    try_connect(&cluster).await.unwrap();
}
