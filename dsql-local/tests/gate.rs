//! How many connections come and stay, for how long, and what wakes a sleeping cluster.

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

/// Waits for the end of the connection that was accepted as the `index`th.
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
async fn a_burst_of_connections_is_refused_until_time_has_passed() {
    let cluster = start(LocalCluster::builder().connection_rate(3, 1)).await;
    // On a slow machine a fourth may get in by right.
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
async fn there_are_as_many_places_as_the_cluster_has() {
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
    let told = cluster
        .counts()
        .refused(|refusal| *refusal == Refusal::TooManyConnections);
    assert!(told >= 1);
}

#[tokio::test]
async fn an_idle_session_that_is_too_old_is_closed_without_a_word() {
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
    // Those that come later have their own time, and tokens theirs.
    run(&connect(&cluster).await, &["SELECT 1"]).await;
}

#[tokio::test]
async fn an_old_session_ends_with_its_transaction() {
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
async fn an_old_session_that_never_ends_its_transaction_is_closed_all_the_same() {
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
