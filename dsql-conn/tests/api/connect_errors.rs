//! Connections that cannot be opened: the error names the host, the user, the cause and the remedy.

use std::net::TcpListener;
use std::time::Duration;

use dsql_conn::{Config, Error, Reason};
use dsql_local::{Action, Effect, Fault, Refusal, Stage};
use futures_util::future::join_all;

use crate::support::{Counting, cluster, config, credentials};

/// Opens a connection that must fail, and checks that the error names the host, the user, the cause
/// and the remedy.
pub(crate) async fn refusal(config: Config) -> (Reason, String) {
    let host = config.endpoint().host().to_owned();
    let error = config.connect().await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains(&host), "no host: {said}");
    assert!(said.contains("as \""), "no user: {said}");
    assert!(said.contains("; "), "no remedy: {said}");
    let reason = error.reason().unwrap();
    assert!(said.contains(&reason.to_string()), "no reason: {said}");
    (reason, said)
}

/// Makes the cluster refuse every connection, and checks the error.
async fn check_refusal(refused: Refusal, reason: Reason) {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(refused.clone()).always());
    // Transient errors are retried until this timeout, which leaves a slow machine time for two
    // attempts.
    let config = config(&cluster).connect_timeout(Duration::from_secs(12));
    let (seen, message) = refusal(config).await;
    assert_eq!(seen, reason, "{refused:?}: {message}");
    assert!(message.contains(&*refused.message()), "{message}");
    assert!(
        refused.hint().is_none_or(|hint| message.contains(&*hint)),
        "{message}"
    );
    let accepted = cluster.counts().accepted;
    match reason.is_transient() {
        true => assert!(accepted > 1, "{message}"),
        // If the credentials may be the cause, the attempt is repeated once with fresh ones.
        false => assert!(accepted <= 2, "{message}"),
    }
}

#[tokio::test]
async fn every_error_of_the_service_has_its_reason() {
    let arn = "arn:aws:iam::123456789012:role/api".to_owned();
    let user = "admin".to_owned();
    let refusals = [
        (Refusal::signature_expired(), Reason::TokenExpired),
        (
            Refusal::WrongAction {
                user: user.clone(),
                action: Action::DbConnect,
            },
            Reason::WrongAction,
        ),
        (
            Refusal::NotAuthorized {
                arn: arn.clone(),
                action: Action::DbConnectAdmin,
                resource: "arn:aws:dsql:us-east-1:123456789012:cluster/x".to_owned(),
            },
            Reason::NotAuthorized,
        ),
        (Refusal::NotGranted { arn }, Reason::NotAuthorized),
        (
            Refusal::IamAuthenticationFailed { user: user.clone() },
            Reason::AccessDenied,
        ),
        (Refusal::RoleMissing { role: user }, Reason::RoleMissing),
        (
            Refusal::ParameterNotSupported {
                name: "statement_timeout".to_owned(),
            },
            Reason::SettingRefused,
        ),
        (Refusal::NoSni, Reason::ServerNameMissing),
        (Refusal::WakingUp, Reason::WakingUp),
        (Refusal::TooManyConnections, Reason::TooManyConnections),
        (Refusal::RateExceeded, Reason::RateExceeded),
    ];
    join_all(refusals.map(|(refused, reason)| check_refusal(refused, reason))).await;
}

#[tokio::test]
async fn identity_without_permission_is_named() {
    let cluster = cluster().await;
    let unauthorized = cluster.identity("unauthorized", &[]);
    let (reason, said) = refusal(config(&cluster).credentials(credentials(&unauthorized))).await;
    assert_eq!(reason, Reason::NotAuthorized);
    assert!(
        said.contains(unauthorized.arn()) && said.contains("dsql:DbConnectAdmin"),
        "{said}"
    );
    assert_eq!(cluster.counts().accepted, 1);
}

#[tokio::test]
async fn expired_token_is_signed_again_with_fresh_credentials() {
    let cluster = cluster().await;
    cluster.clock().advance(Duration::from_secs(3600));
    let provider = Counting::new(cluster.admin());
    let (reason, _) = refusal(config(&cluster).credentials(provider.clone())).await;
    assert_eq!(reason, Reason::ClockSkew);
    assert_eq!((provider.asked(), cluster.counts().accepted), (2, 2));

    cluster.clock().reset();
    cluster.inject(Fault::refuse(Refusal::signature_expired()));
    let connected = config(&cluster)
        .credentials(provider.clone())
        .connect()
        .await;
    connected.unwrap();
    assert_eq!(provider.asked(), 4);
}

#[tokio::test]
async fn waking_cluster_is_waited_for() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp).times(3));
    config(&cluster).connect().await.unwrap();
    assert_eq!(cluster.counts().accepted, 4);
}

#[tokio::test]
async fn built_in_roots_refuse_an_unknown_authority() {
    let cluster = cluster().await;
    let config = Config::new(cluster.endpoint().parse().unwrap())
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .credentials(credentials(cluster.admin()));
    let (reason, said) = refusal(config).await;
    assert_eq!(reason, Reason::Certificate);
    assert!(said.contains("DSQL_CA_FILE"), "{said}");
}

#[tokio::test]
async fn certificate_of_another_authority_is_refused() {
    let cluster = cluster().await;
    let other = crate::support::cluster().await;
    let config = config(&cluster)
        .root_certificates([other.ca_der().clone()])
        .unwrap();
    assert_eq!(refusal(config).await.0, Reason::Certificate);
}

#[tokio::test]
async fn certificate_for_another_host_is_refused() {
    let cluster = cluster().await;
    let other = crate::support::cluster().await;
    let config = config(&cluster)
        .root_certificates([other.ca_der().clone()])
        .unwrap()
        .address(other.address().ip())
        .port(other.address().port());
    let (reason, said) = refusal(config).await;
    assert_eq!(reason, Reason::UnknownCluster, "{said}");
    assert!(
        said.ends_with(Reason::UnknownCluster.remedy()),
        "no remedy: {said}"
    );
}

#[tokio::test]
async fn closed_port_is_unreachable() {
    let cluster = cluster().await;
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let config = config(&cluster)
        .port(closed.port())
        .connect_timeout(Duration::from_secs(3));
    let (reason, said) = refusal(config).await;
    assert_eq!(reason, Reason::Unreachable, "{said}");
    assert!(said.contains(&format!("({closed}: ")), "{said}");
}

#[tokio::test]
async fn unresponsive_server_times_out() {
    let cluster = cluster().await;
    for stage in [
        Stage::Accept,
        Stage::TlsHello,
        Stage::Startup,
        Stage::Password,
    ] {
        cluster.inject(Fault::at(stage, Effect::Stall));
        let config = config(&cluster).connect_timeout(Duration::from_millis(300));
        let (reason, said) = refusal(config).await;
        assert_eq!(reason, Reason::TimedOut, "{stage:?}: {said}");
        cluster.clear_faults();
        cluster.release();
    }
}

#[tokio::test]
async fn garbage_and_hang_ups_have_their_reasons() {
    let ends_so = async |effect: Effect, stage: Stage, reasons: &[Reason]| {
        let cluster = cluster().await;
        cluster.inject(Fault::at(stage, effect.clone()).always());
        // The error is the last attempt's, which a slow machine must be able to end.
        let config = config(&cluster).connect_timeout(Duration::from_secs(12));
        let (reason, said) = refusal(config).await;
        assert!(reasons.contains(&reason), "{effect:?} at {stage:?}: {said}");
    };
    const HANGS_UP: &[Reason] = &[Reason::Interrupted];
    const NONSENSE: &[Reason] = &[Reason::Tls, Reason::Protocol, Reason::Interrupted];
    let stages = [Stage::TlsHello, Stage::Startup, Stage::Password];
    let cells = stages.into_iter().flat_map(|stage| {
        [
            ends_so(Effect::Cut, stage, HANGS_UP),
            ends_so(Effect::Reset, stage, HANGS_UP),
            ends_so(Effect::Garbage, stage, NONSENSE),
        ]
    });
    join_all(cells).await;
}

#[tokio::test]
async fn hanging_provider_times_out() {
    #[derive(Debug)]
    struct Hanging;

    impl aws_credential_types::provider::ProvideCredentials for Hanging {
        fn provide_credentials<'a>(
            &'a self,
        ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            aws_credential_types::provider::future::ProvideCredentials::new(std::future::pending())
        }
    }

    let cluster = cluster().await;
    let config = config(&cluster)
        .credentials(Hanging)
        .connect_timeout(Duration::from_millis(50));
    let (reason, said) = refusal(config).await;
    assert_eq!(reason, Reason::CredentialsTimedOut);
    assert!(said.contains("AWS credentials"), "{said}");
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let cluster = cluster().await;
    let config = config(&cluster);
    let connection = config.connect().await.unwrap();
    let refused = {
        cluster.inject(Fault::refuse(Refusal::NoSni));
        config.connect().await.unwrap_err()
    };
    let printed = format!("{config:?} {connection:?} {refused:?} {refused}");
    for secret in [
        cluster.admin().secret_access_key(),
        cluster.admin().session_token().unwrap_or("no token"),
        "X-Amz-Signature",
    ] {
        assert!(!printed.contains(secret));
    }
    assert!(matches!(refused, Error::Connect(_)));
}

#[tokio::test]
async fn name_with_nul_is_refused_before_a_packet_is_sent() {
    let cluster = cluster().await;
    let config = || config(&cluster);
    for (setting, config) in [
        ("user", config().user("a\0b")),
        ("database", config().database("a\0b")),
        ("application_name", config().application_name("a\0b")),
        ("search_path", config().search_path("a\0b")),
    ] {
        let error = config.connect().await.unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
        let said = error.to_string();
        assert!(
            said.contains(&format!("\"{setting}\"")) && said.contains("NUL"),
            "{said}"
        );
    }
    assert_eq!(cluster.counts().accepted, 0);
}
