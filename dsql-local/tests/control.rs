//! Control of the cluster by SQL.

mod support;
#[path = "support/wire.rs"]
mod wire;

use std::time::SystemTime;

use dsql_local::{Action, LocalCluster};
use support::token;
use wire::{Error, Wire};

const CONTROL: &str = "-c dsql_local.control=on";

async fn login(cluster: &LocalCluster, user: &str, options: &str) -> Result<Wire, Error> {
    let token = token(cluster, cluster.admin(), Action::for_user(user)).await;
    let parameters = [
        ("user", user),
        ("database", "postgres"),
        ("options", options),
    ];
    Wire::login(cluster, &parameters, &token).await
}

async fn message(wire: &mut Wire, sql: &str) -> String {
    let error = wire.extended(sql).await.error.unwrap_or_default();
    error.message
}

#[tokio::test]
async fn faults_are_injected_by_sql() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut control = login(&cluster, "admin", CONTROL).await.unwrap();
    let mut client = Wire::connect(&cluster).await;
    client.simple("CREATE TABLE t (id int)").await;
    for (call, expected) in [
        (
            "inject('conflict', 1)",
            "change conflicts with another transaction (OC000)",
        ),
        ("inject('unavailable', 1, 'commit')", ""),
    ] {
        let answer = control.extended(&format!("CALL dsql_local.{call}")).await;
        assert_eq!(
            (answer.tag.as_str(), answer.error),
            ("CALL", None),
            "{call}"
        );
        if expected.is_empty() {
            assert_eq!(message(&mut client, "SELECT 1").await, "server unavailable");
            continue;
        }
        for expected in [expected, ""] {
            client.simple("BEGIN; INSERT INTO t VALUES (1)").await;
            assert_eq!(message(&mut client, "COMMIT").await, expected);
        }
    }

    control.simple("CALL dsql_local.throttle(0, 0)").await;
    let refused = login(&cluster, "admin", "").await.err().unwrap();
    assert_eq!(refused.sqlstate, "53400");
    control.simple("CALL dsql_local.throttle(1000, 100)").await;
    control.simple("CALL dsql_local.sleep()").await;
    // An hour also refills the connection rate.
    control
        .simple("CALL dsql_local.advance('50 minutes')")
        .await;
    assert!(cluster.clock().now() > SystemTime::now() + std::time::Duration::from_secs(2_900));
    cluster.clock().reset();
    let refused = login(&cluster, "admin", "").await.err().unwrap();
    assert!(refused.message.contains("waking up"), "{refused:?}");
    login(&cluster, "admin", "").await.unwrap();

    let answer = control.extended("SELECT dsql_local.counts()").await;
    assert_eq!(answer.columns[0].name, "counts");
    let counts: serde_json::Value =
        serde_json::from_str(answer.rows[0][0].as_deref().unwrap()).unwrap();
    assert_eq!(counts["logins"], cluster.counts().logins);
    assert_eq!(counts["refused"], 4);

    control
        .simple("CALL dsql_local.fail_connections(100)")
        .await;
    assert!(
        tokio::net::TcpStream::connect(cluster.address())
            .await
            .is_ok()
    );
    control.simple("CALL dsql_local.clear()").await;
    login(&cluster, "admin", "").await.unwrap();
    // The session that cuts all connections is cut as well.
    control.simple("CALL dsql_local.cut()").await;
    assert!(client.simple("SELECT 1").await.is_empty());
}

#[tokio::test]
async fn invalid_calls_get_an_error_and_a_hint() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut control = login(&cluster, "admin", CONTROL).await.unwrap();
    for (call, expected) in [
        ("inject('nothing')", "unknown fault \"nothing\""),
        ("inject('cut', 1, 'never')", "unknown stage \"never\""),
        (
            "inject('cut', 'often')",
            "\"often\" is not a valid number here",
        ),
        (
            "advance('later')",
            "\"later\" is not a duration; write it like '90 seconds' or '1 hour'",
        ),
        (
            "explode()",
            "no procedure dsql_local.explode takes 0 arguments",
        ),
    ] {
        let sql = format!("CALL dsql_local.{call}");
        assert_eq!(message(&mut control, &sql).await, expected);
        assert_eq!(cluster.control(call).unwrap_err(), expected);
    }
}

#[tokio::test]
async fn control_is_invisible_without_the_startup_option() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut client = Wire::connect(&cluster).await;
    assert_eq!(
        message(&mut client, "CALL dsql_local.sleep()").await,
        "schema \"dsql_local\" does not exist"
    );
    let refused = login(&cluster, "app", CONTROL).await.err().unwrap();
    assert_eq!(refused.sqlstate, "0A000");
    let other = login(&cluster, "admin", "-c dsql_local.other=on").await;
    assert!(other.is_err());
}
