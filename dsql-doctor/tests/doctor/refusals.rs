//! Every refusal of the cluster and every network fault: the failing step, the class and the
//! statement that fixes it.

use std::time::Duration;

use dsql_doctor::{Class, State, StepName};
use dsql_local::{Action, Direction, Effect, Fault, Refusal, Stage};

use crate::support::{cluster, config, credentials, examine, failed_at, step};

/// Transient refusals are retried until this timeout.
const SHORT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn every_refusal_has_its_step_and_class() {
    let arn = || "arn:aws:iam::123456789012:role/api".to_owned();
    let user = || "admin".to_owned();
    for (refusal, at, class) in [
        (Refusal::signature_expired(), StepName::Clock, Class::Clock),
        (
            Refusal::WrongAction {
                user: user(),
                action: Action::DbConnect,
            },
            StepName::Login,
            Class::Access,
        ),
        (
            Refusal::NotAuthorized {
                arn: arn(),
                action: Action::DbConnectAdmin,
                resource: "arn:aws:dsql:us-east-1:123456789012:cluster/x".to_owned(),
            },
            StepName::Login,
            Class::Access,
        ),
        (
            Refusal::NotGranted { arn: arn() },
            StepName::Login,
            Class::Access,
        ),
        (
            Refusal::IamAuthenticationFailed { user: user() },
            StepName::Login,
            Class::Access,
        ),
        (
            Refusal::RoleMissing { role: user() },
            StepName::Login,
            Class::Access,
        ),
        (
            Refusal::RoleCannotLogin { role: user() },
            StepName::Login,
            Class::Other,
        ),
        (
            Refusal::DatabaseMissing { database: user() },
            StepName::Login,
            Class::Settings,
        ),
        (
            Refusal::ParameterNotSupported {
                name: "statement_timeout".to_owned(),
            },
            StepName::Login,
            Class::Settings,
        ),
        (Refusal::NoSni, StepName::Login, Class::Access),
        (Refusal::WakingUp, StepName::Login, Class::Busy),
        (Refusal::TooManyConnections, StepName::Login, Class::Busy),
        (Refusal::RateExceeded, StepName::Login, Class::Busy),
    ] {
        let cluster = cluster().await;
        cluster.inject(Fault::refuse(refusal.clone()).always());
        let report = examine(config(&cluster).connect_timeout(SHORT)).await;
        let line = failed_at(&report, at);
        assert_eq!(report.class, class, "{report}");
        assert!(line.contains(&*refusal.message()), "{line}");
    }
}

/// Checks every effect at this stage.
async fn check_faults(stage: Stage, at: &[StepName]) {
    for (effect, classes) in [
        (Effect::Cut, &[Class::Network][..]),
        (Effect::Reset, &[Class::Network]),
        (Effect::Stall, &[Class::Network]),
        // The end of the connection may overtake the garbage.
        (Effect::Garbage, &[Class::Tls, Class::Network]),
    ] {
        let cluster = cluster().await;
        let fault = Fault::at(stage, effect);
        cluster.inject(fault.clone().always());
        let report = examine(config(&cluster).connect_timeout(SHORT)).await;
        let steps = &report.regions[0].steps;
        let failed = steps.iter().find(|step| step.state == State::Failed);
        let failed = failed.unwrap_or_else(|| panic!("{fault:?}: {report}"));
        failed_at(&report, failed.name);
        assert!(at.contains(&failed.name), "{fault:?}: {report}");
        assert!(classes.contains(&report.class), "{fault:?}: {report}");
        assert!(cluster.struck(&fault) > 0, "{fault:?}");
        cluster.release();
    }
}

#[tokio::test]
async fn faults_before_the_handshake_fail_the_tls_step() {
    tokio::join!(
        // A reset may come before the client knows that it was accepted.
        check_faults(Stage::Accept, &[StepName::Tcp, StepName::Tls]),
        check_faults(Stage::TlsHello, &[StepName::Tls]),
    );
}

#[tokio::test]
async fn faults_after_the_handshake_fail_the_login_step() {
    tokio::join!(
        check_faults(Stage::TlsFinished, &[StepName::Login]),
        check_faults(Stage::Startup, &[StepName::Login]),
        check_faults(Stage::Password, &[StepName::Login]),
        check_faults(Stage::Ready, &[StepName::Login]),
    );
}

#[tokio::test]
async fn slow_network_is_no_failure() {
    let cluster = cluster().await;
    let delay = |direction| Fault::delay(direction, Duration::from_millis(5)).always();
    cluster.inject(delay(Direction::ToServer));
    cluster.inject(delay(Direction::ToClient));
    let report = examine(config(&cluster)).await;
    assert!(report.is_healthy(), "{report}");
}

#[tokio::test]
async fn a_statement_that_fails_is_a_cause_of_the_session() {
    let cluster = cluster().await;
    cluster.inject(Fault::at(Stage::Statement, Effect::Cut).always());
    let report = examine(config(&cluster)).await;
    failed_at(&report, StepName::Clock);
    assert_eq!(report.class, Class::Session);
}

#[tokio::test]
async fn missing_permission_is_ready_to_be_pasted() {
    let cluster = cluster().await;
    let identity = cluster.identity("api", &[]);
    let report = examine(config(&cluster).credentials(credentials(&identity))).await;
    failed_at(&report, StepName::Login);
    let finding = step(&report, StepName::Login).finding.as_ref().unwrap();
    let statement: serde_json::Value =
        serde_json::from_str(finding.paste.as_deref().unwrap()).unwrap();
    assert_eq!(statement["Effect"], "Allow");
    assert_eq!(statement["Action"], "dsql:DbConnectAdmin");
    assert_eq!(statement["Resource"], cluster.arn());
}

/// The statements run as they are, and then the role can log in.
#[tokio::test]
async fn missing_role_and_grant_are_ready_to_be_pasted() {
    let cluster = cluster().await;
    let identity = cluster.identity("api", &[Action::DbConnect]);
    let config_of_role = || {
        config(&cluster)
            .user("game")
            .credentials(credentials(&identity))
    };
    let admin = config(&cluster).connect().await.unwrap();

    let report = examine(config_of_role()).await;
    let finding = step(&report, StepName::Login).finding.as_ref().unwrap();
    let create = finding.paste.as_deref().unwrap();
    let (create, grant) = create.split_once("; ").unwrap();
    assert!(
        grant.starts_with("AWS IAM GRANT \"game\" TO 'arn:"),
        "{grant}"
    );
    admin.batch_execute(create).await.unwrap();

    let report = examine(config_of_role()).await;
    let line = failed_at(&report, StepName::Login);
    assert!(line.contains("AWS IAM GRANT game TO"), "{line}");
    let finding = step(&report, StepName::Login).finding.as_ref().unwrap();
    let grant = finding.paste.as_deref().unwrap();
    assert!(grant.contains(identity.arn()), "{grant}");
    admin.batch_execute(grant).await.unwrap();

    let report = examine(config_of_role()).await;
    assert!(report.is_healthy(), "{report}");
}
