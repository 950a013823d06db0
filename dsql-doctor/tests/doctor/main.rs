//! Examinations of a local cluster, healthy and in every state that refuses or breaks connections.

mod program;
mod refusals;
mod support;
mod warnings;

use dsql_conn::{Config, Peer};
use dsql_doctor::{Class, Doctor, State, StepName};
use dsql_local::LocalCluster;
use support::{cluster, config, credentials, examine, failed_at, step};

#[tokio::test]
async fn healthy_cluster_passes_every_step() {
    let cluster = cluster().await;
    let report = examine(config(&cluster)).await;
    assert!(report.is_healthy(), "{report}");
    assert_eq!((report.class, report.exit_code), (Class::Healthy, 0));
    let steps = &report.regions[0].steps;
    let names: Vec<_> = steps.iter().map(|step| step.name).collect();
    assert_eq!(names, StepName::ALL);
    assert!(
        steps.iter().all(|step| step.state == State::Passed),
        "{report}"
    );
    let said = report.to_string();
    for words in [
        "all is well: ",
        cluster.endpoint(),
        "in us-east-1, the public endpoint",
        "a temporary key of a session (ASIA",
        "not looked up: the address 127.0.0.1 is set",
        "TLSv1_3",
        "ALPN postgresql",
        "by CN=dsql-local certificate authority",
        "a second handshake resumed the session",
        "dsql:DbConnectAdmin for \"admin\"",
        "search_path: ",
        "isolation: repeatable read",
        "warm (the median of 5)",
    ] {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // Two for TLS, one for TCP and one that logs in.
    assert_eq!((cluster.counts().accepted, cluster.counts().logins), (4, 1));
}

#[tokio::test]
async fn report_holds_no_secret() {
    let cluster = cluster().await;
    let unauthorized = cluster.identity("unauthorized", &[]);
    let refused = config(&cluster).credentials(credentials(&unauthorized));
    for (config, identity) in [
        (config(&cluster), cluster.admin()),
        (refused, &unauthorized),
    ] {
        let report = examine(config).await;
        let json = serde_json::to_string(&report).unwrap();
        let said = format!("{report} {report:?} {json} {}", report.colored());
        for secret in [
            identity.access_key_id(),
            identity.secret_access_key(),
            identity.session_token().unwrap(),
            "X-Amz-Signature",
        ] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

#[tokio::test]
async fn both_regions_are_walked() {
    let cluster = LocalCluster::builder()
        .peer_region("us-east-2")
        .start()
        .await
        .unwrap();
    let peer = cluster.peer().unwrap();
    let both = |port| {
        let endpoint = Peer::new(peer.endpoint().parse().unwrap());
        let endpoint = endpoint.address(peer.address().ip()).port(port);
        config(&cluster).peer(endpoint).unwrap()
    };
    let report = examine(both(peer.address().port())).await;
    assert!(report.is_healthy(), "{report}");
    let endpoints: Vec<_> = report
        .regions
        .iter()
        .map(|it| it.endpoint.as_deref())
        .collect();
    assert_eq!(endpoints, [Some(cluster.endpoint()), Some(peer.endpoint())]);
    assert_eq!((cluster.counts().logins, peer.counts().logins), (1, 1));

    // The other Region fails, and this one is still reported.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let report = examine(both(port)).await;
    assert_eq!(report.class, Class::Network, "{report}");
    assert!(report.summary.contains(peer.endpoint()), "{report}");
    assert!(
        report.regions[0]
            .steps
            .iter()
            .all(|step| step.state == State::Passed)
    );
}

#[tokio::test]
async fn named_tables_are_looked_at() {
    let cluster = cluster().await;
    let admin = config(&cluster).connect().await.unwrap();
    for sql in [
        "CREATE SCHEMA games",
        "CREATE TABLE games.migrations (name text PRIMARY KEY)",
        dsql_conn::Outcomes::CREATE_TABLE,
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
    let doctor = Doctor::new(config(&cluster)).table("games.migrations");
    let report = doctor.clone().outcomes("dsql_outcomes").examine().await;
    assert!(report.is_healthy(), "{report}");
    let tables = step(&report, StepName::Tables);
    assert_eq!(
        tables.evidence,
        [
            "games.migrations: may be read, empty",
            "dsql_outcomes: may be read, empty"
        ]
    );

    for (doctor, words) in [
        (
            doctor.clone().table("nothing"),
            "create it, or correct its name",
        ),
        (
            doctor.clone().outcomes("nothing"),
            "create it, or correct its name",
        ),
        (
            doctor.outcomes("games.migrations"),
            "with the columns of an outcome table",
        ),
    ] {
        let report = doctor.examine().await;
        let line = failed_at(&report, StepName::Tables);
        assert!(line.contains(words), "{line}");
        assert_eq!(report.class, Class::Session);
    }
}

#[tokio::test]
async fn missing_outcome_table_is_ready_to_be_created() {
    let cluster = cluster().await;
    let doctor = Doctor::new(config(&cluster)).outcomes("dsql_outcomes");
    let report = doctor.examine().await;
    failed_at(&report, StepName::Tables);
    let finding = step(&report, StepName::Tables).finding.as_ref().unwrap();
    let create = finding.paste.as_deref();
    assert_eq!(create, Some(dsql_conn::Outcomes::CREATE_TABLE));
    let admin = config(&cluster).connect().await.unwrap();
    admin.batch_execute(create.unwrap()).await.unwrap();
    assert!(doctor.examine().await.is_healthy());
}

#[tokio::test]
async fn wrong_settings_are_reported_without_a_walk() {
    let settings = "postgres://localhost/postgres".parse::<Config>();
    let report = Doctor::with_settings(settings).examine().await;
    let line = failed_at(&report, StepName::Settings);
    assert!(line.contains("\"localhost\""), "{line}");
    assert_eq!((report.class, report.exit_code), (Class::Settings, 2));
    let steps = report.regions[0].steps.iter().skip(1);
    assert!(steps.clone().all(|step| step.state == State::Skipped));
}

#[tokio::test]
async fn steps_are_announced_in_the_order_of_the_walk() {
    let cluster = cluster().await;
    let (sender, receiver) = std::sync::mpsc::channel();
    let doctor = Doctor::new(config(&cluster)).observer(move |progress| {
        let _ = sender.send(progress.step);
    });
    assert!(doctor.examine().await.is_healthy());
    let seen: Vec<_> = receiver.try_iter().collect();
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, StepName::ALL);
    // The clock is compared by a statement.
    let at = |name| seen.iter().position(|step| *step == name).unwrap();
    assert!(at(StepName::Login) < at(StepName::Clock));
    assert!(at(StepName::Clock) < at(StepName::Session));
}

#[tokio::test]
async fn json_has_the_fields_of_the_report() {
    let cluster = cluster().await;
    let report = examine(config(&cluster)).await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["class"], "healthy");
    assert_eq!(json["exit_code"], 0);
    let steps = json["regions"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), StepName::ALL.len());
    let login = steps.iter().find(|step| step["name"] == "login").unwrap();
    assert_eq!(login["state"], "passed");
    assert!(login["took_ms"].as_f64().unwrap() > 0.0, "{login}");
}
