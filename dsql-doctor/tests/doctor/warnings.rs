//! Reports of steps that work, but need a change.

use std::time::{Duration, SystemTime};

use aws_smithy_async::time::TimeSource;
use dsql_conn::{Config, Credentials};
use dsql_doctor::{Class, Report, State, StepName};
use dsql_local::LocalCluster;

use crate::support::{cluster, config, examine, step};

/// A clock that is ahead by this time.
#[derive(Debug)]
struct Ahead(Duration);

impl TimeSource for Ahead {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.0
    }
}

/// Checks that all steps work, and that this one alone is warned of.
fn warned_of(report: &Report, name: StepName) -> String {
    assert_eq!(report.class, Class::Healthy, "{report}");
    for step in &report.regions[0].steps {
        let expected = match step.name == name {
            true => State::Warned,
            false => State::Passed,
        };
        assert_eq!(step.state, expected, "{report}");
    }
    let begins = format!("it works, but see {}: ", name.as_str());
    assert!(report.summary.starts_with(&begins), "{report}");
    step(report, name).finding.as_ref().unwrap().cause.clone()
}

#[tokio::test]
async fn clock_that_is_minutes_off_is_a_warning() {
    let cluster = cluster().await;
    let ahead = Ahead(Duration::from_secs(150));
    let report = examine(config(&cluster).time_source(ahead)).await;
    let cause = warned_of(&report, StepName::Clock);
    assert!(cause.contains("2 min ahead of the server's"), "{cause}");
}

#[tokio::test]
async fn certificate_that_ends_soon_is_a_warning() {
    let end = SystemTime::now() + Duration::from_secs(50 * 3_600);
    let cluster = LocalCluster::builder().certificate_end(end).start().await;
    let report = examine(config(&cluster.unwrap())).await;
    let cause = warned_of(&report, StepName::Tls);
    assert!(cause.ends_with("ends in 2 days"), "{cause}");
}

/// The service decides: the expiry that a provider reports may be an estimate.
#[tokio::test]
async fn credentials_that_should_have_ended_are_a_warning() {
    let cluster = cluster().await;
    let admin = cluster.admin();
    let ended = Credentials::new(
        admin.access_key_id(),
        admin.secret_access_key(),
        admin.session_token().map(str::to_owned),
        Some(SystemTime::now() - Duration::from_secs(3_600)),
        "test",
    );
    let report = examine(config(&cluster).credentials(ended)).await;
    let cause = warned_of(&report, StepName::Credentials);
    assert!(cause.contains("60 min ago"), "{cause}");
}

#[tokio::test]
async fn vpc_endpoint_is_in_the_report() {
    let builder = LocalCluster::builder().private_link("fnh4");
    let cluster = builder.start().await.unwrap();
    let interface = "vpce-0a1b2c3d-xyz9.dsql-fnh4.us-east-1.vpce.amazonaws.com";
    let at = |endpoint: dsql_conn::Endpoint| {
        Config::new(endpoint)
            .address(cluster.address().ip())
            .port(cluster.address().port())
            .root_certificates([cluster.ca_der().clone()])
            .unwrap()
            .credentials(crate::support::credentials(cluster.admin()))
            .connect_timeout(Duration::from_secs(60))
    };
    let public: dsql_conn::Endpoint = cluster.endpoint().parse().unwrap();
    let private = cluster.private_endpoint().unwrap().parse().unwrap();
    for (endpoint, words) in [
        (public.via(interface).unwrap(), "by the VPC endpoint vpce-"),
        (private, "PrivateLink with private DNS"),
    ] {
        let report = examine(at(endpoint)).await;
        assert!(report.is_healthy(), "{report}");
        assert!(report.to_string().contains(words), "{report}");
    }
}
