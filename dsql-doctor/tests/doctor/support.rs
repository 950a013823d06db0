//! Clusters, configurations and reports that most tests use.

use std::time::Duration;

use dsql_conn::{Config, Credentials};
use dsql_doctor::{Doctor, Report, State, Step, StepName};
use dsql_local::{Identity, LocalCluster};

pub(crate) async fn cluster() -> LocalCluster {
    LocalCluster::start()
        .await
        .expect("the tests need a PostgreSQL on this machine")
}

/// A configuration for the cluster's administrator, with a long timeout.
pub(crate) fn config(cluster: &LocalCluster) -> Config {
    let endpoint = cluster.endpoint().parse().expect("the cluster's own");
    Config::new(endpoint)
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()))
        .connect_timeout(Duration::from_secs(60))
}

pub(crate) fn credentials(identity: &Identity) -> Credentials {
    Credentials::new(
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().map(str::to_owned),
        None,
        "test",
    )
}

pub(crate) async fn examine(config: Config) -> Report {
    Doctor::new(config).examine().await
}

/// A step of the first Region.
pub(crate) fn step(report: &Report, name: StepName) -> &Step {
    let mut steps = report.regions[0].steps.iter();
    steps.find(|step| step.name == name).unwrap()
}

/// Checks that the walk ended at this step, and returns the finding in one line.
pub(crate) fn failed_at(report: &Report, name: StepName) -> String {
    let failed = step(report, name);
    assert_eq!(failed.state, State::Failed, "{report}");
    let finding = failed.finding.as_ref().unwrap();
    assert!(finding.docs.starts_with("https://"), "{report}");
    let line = format!("{}; {}", finding.cause, finding.remedy);
    assert!(report.summary.ends_with(&line), "{report}");
    assert_eq!(report.to_string().lines().next(), Some(&*report.summary));
    assert_eq!(report.exit_code, finding.class.exit_code());
    line
}
