//! Opening one connection: what goes over the wire, and how each refusal is told.

use std::net::TcpListener;
use std::time::Duration;

use dsql_conn::rustls::{self, ClientConfig, RootCertStore};
use dsql_conn::tokio_postgres::config::SslNegotiation;
use dsql_conn::{Config, Endpoint, Error, Pool, Reason};
use dsql_local::{Action, Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::future::join_all;

use crate::support::{Counting, cluster, config, credentials};

#[tokio::test]
async fn a_connection_is_direct_tls_to_the_named_host() {
    let cluster = cluster().await;
    let connection = config(&cluster)
        .application_name("orders")
        .connect()
        .await
        .unwrap();
    let row = connection.query_one("SELECT current_user::text", &[]).await;
    assert_eq!(row.unwrap().get::<_, &str>(0), "admin");

    let counts = cluster.counts();
    assert_eq!((counts.direct, counts.ssl_request), (1, 0));
    assert_eq!(counts.tls_hello_retry, 0);
    let log = &cluster.connections()[0];
    assert_eq!(log.sni.as_deref(), Some(cluster.endpoint()));
    assert_eq!(log.alpn.as_deref(), Some("postgresql"));
    assert_eq!(log.application_name.as_deref(), Some("orders"));
}

/// TCP, TLS, the startup packet, the token by itself, and what was asked: each waits for the one
/// before.
fn round_trips(cluster: &LocalCluster) -> usize {
    let counts = cluster.counts();
    assert_eq!(
        (counts.accepted, counts.ssl_request, counts.tls_hello_retry),
        (1, 0, 0)
    );
    let log = &cluster.connections()[0];
    assert_eq!(log.pipelined, 0);
    3 + usize::from(!log.early_password) + log.flights.len()
}

#[tokio::test]
async fn the_first_row_comes_after_as_few_round_trips_as_are_promised() {
    for is_early in [false, true] {
        let saved = usize::from(is_early);
        let start = async || {
            let cluster = cluster().await;
            let config = config(&cluster).password_in_startup_flight(is_early);
            (cluster, Pool::new(config))
        };

        let (cluster, pool) = start().await;
        let connection = pool.get().await.unwrap();
        let typed = connection.query_typed("SELECT 1", &[]).await.unwrap();
        assert_eq!(typed[0].get::<_, i32>(0), 1);
        assert_eq!(round_trips(&cluster), 5 - saved, "a typed query");

        let (cluster, pool) = start().await;
        let connection = pool.get().await.unwrap();
        connection.query("SELECT 1", &[]).await.unwrap();
        assert_eq!(round_trips(&cluster), 6 - saved, "a query");

        let (cluster, pool) = start().await;
        let one =
            pool.transaction(async |tx| Ok(tx.query_one("SELECT 1", &[]).await?.get::<_, i32>(0)));
        assert_eq!(one.await.unwrap(), 1);
        assert_eq!(round_trips(&cluster), 7 - saved, "a transaction");
    }
}

#[tokio::test]
async fn the_search_path_holds_from_the_start() {
    let cluster = cluster().await;
    let connection = config(&cluster)
        .search_path("games, \"a b\"")
        .connect()
        .await
        .unwrap();
    let row = connection.query_one("SHOW search_path", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "games, \"a b\"");
}

/// The configuration for a cluster with a private name, by another endpoint of it.
fn by(cluster: &LocalCluster, endpoint: Endpoint) -> Config {
    Config::new(endpoint)
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()))
        .connect_timeout(Duration::from_secs(60))
}

#[tokio::test]
async fn a_private_name_is_signed_for_and_verified() {
    let cluster = LocalCluster::builder()
        .private_link("fnh4")
        .start()
        .await
        .unwrap();
    let private: Endpoint = cluster.private_endpoint().unwrap().parse().unwrap();
    by(&cluster, private.clone()).connect().await.unwrap();
    assert_eq!(
        cluster.connections()[0].sni.as_deref(),
        Some(private.host())
    );
}

#[tokio::test]
async fn an_interface_endpoint_is_told_the_public_name_and_the_cluster() {
    let cluster = LocalCluster::builder()
        .private_link("fnh4")
        .start()
        .await
        .unwrap();
    let public: Endpoint = cluster.endpoint().parse().unwrap();
    let endpoint = public
        .via("vpce-0123456789abcdef0-abcdefgh.dsql-fnh4.us-east-1.vpce.amazonaws.com")
        .unwrap();
    let connection = by(&cluster, endpoint).connect().await.unwrap();
    connection.query_one("SELECT 1", &[]).await.unwrap();
    assert_eq!(
        cluster.connections()[0].sni.as_deref(),
        Some(cluster.endpoint())
    );
}

#[tokio::test]
async fn settings_hold_from_the_start() {
    let cluster = cluster().await;
    let config = config(&cluster)
        .setting("TimeZone", "Europe/Paris")
        .unwrap();
    let connection = config.connect().await.unwrap();
    let row = connection.query_one("SHOW timezone", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "Europe/Paris");
}

#[tokio::test]
async fn tls_may_be_asked_for_first() {
    let cluster = cluster().await;
    let config = config(&cluster).ssl_negotiation(SslNegotiation::Postgres);
    config.connect().await.unwrap();
    let counts = cluster.counts();
    assert_eq!((counts.direct, counts.ssl_request), (0, 1));
}

#[tokio::test]
async fn a_callers_own_tls_configuration_is_used() {
    let cluster = cluster().await;
    let mut roots = RootCertStore::empty();
    roots.add(cluster.ca_der().clone()).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config(&cluster)
        .tls_config(tls.into())
        .connect()
        .await
        .unwrap();
    assert_eq!(cluster.connections()[0].alpn.as_deref(), Some("postgresql"));
}

#[tokio::test]
async fn the_built_in_roots_do_not_vouch_for_a_stranger() {
    let cluster = cluster().await;
    let config = Config::new(cluster.endpoint().parse().unwrap())
        .address(cluster.address().ip())
        .port(cluster.address().port())
        .credentials(credentials(cluster.admin()));
    assert_eq!(refusal(config).await.0, Reason::Certificate);
}

#[tokio::test]
async fn reconnects_resume_tls() {
    let cluster = cluster().await;
    let pool = crate::support::pool(&cluster, 1);
    for _ in 0..3 {
        let connection = pool.get().await.unwrap();
        connection.batch_execute("SELECT 1").await.unwrap();
        cluster.cut_all();
        // The end of the session is noticed when it is used.
        connection.batch_execute("SELECT 1").await.unwrap_err();
    }
    let counts = cluster.counts();
    assert_eq!((counts.tls_full, counts.tls_resumed), (1, 2));
}

/// Opens a connection that must fail, and checks that the error says where, as whom, why, and what
/// to do.
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

/// Lets a cluster refuse every connection so, and checks what is told.
async fn is_told(refused: Refusal, reason: Reason) {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(refused.clone()).always());
    // What may pass by itself is tried again until this is over.
    let config = config(&cluster).connect_timeout(Duration::from_secs(3));
    let (told, said) = refusal(config).await;
    assert_eq!(told, reason, "{refused:?}: {said}");
    assert!(said.contains(&*refused.message()), "{said}");
    assert!(
        refused.hint().is_none_or(|hint| said.contains(&*hint)),
        "{said}"
    );
    assert_eq!(
        reason.is_transient(),
        cluster.counts().accepted > 2,
        "{said}"
    );
}

#[tokio::test]
async fn every_refusal_of_the_service_is_told_apart() {
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
    join_all(refusals.map(|(refused, reason)| is_told(refused, reason))).await;
}

#[tokio::test]
async fn an_identity_without_the_permission_is_told_its_name() {
    let cluster = cluster().await;
    let stranger = cluster.identity("stranger", &[]);
    let (reason, said) = refusal(config(&cluster).credentials(credentials(&stranger))).await;
    assert_eq!(reason, Reason::NotAuthorized);
    assert!(
        said.contains(stranger.arn()) && said.contains("dsql:DbConnectAdmin"),
        "{said}"
    );
    assert_eq!(cluster.counts().accepted, 1);
}

#[tokio::test]
async fn a_token_that_is_expired_when_it_arrives_is_signed_once_more_with_fresh_credentials() {
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
async fn a_waking_cluster_is_waited_for() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp).times(3));
    config(&cluster).connect().await.unwrap();
    assert_eq!(cluster.counts().accepted, 4);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let cluster = cluster().await;
    let other = crate::support::cluster().await;
    let config = config(&cluster)
        .root_certificates([other.ca_der().clone()])
        .unwrap();
    assert_eq!(refusal(config).await.0, Reason::Certificate);
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let cluster = cluster().await;
    let other = crate::support::cluster().await;
    let config = config(&cluster)
        .root_certificates([other.ca_der().clone()])
        .unwrap()
        .address(other.address().ip())
        .port(other.address().port());
    let (reason, said) = refusal(config).await;
    assert!(
        matches!(reason, Reason::Certificate | Reason::Tls),
        "{said}"
    );
}

#[tokio::test]
async fn a_peer_that_is_not_there_is_unreachable() {
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
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_given_up_at_the_deadline() {
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
async fn a_peer_that_talks_nonsense_or_hangs_up_is_told_apart() {
    let ends_so = async |effect: Effect, stage: Stage, reasons: &[Reason]| {
        let cluster = cluster().await;
        cluster.inject(Fault::at(stage, effect.clone()).always());
        let config = config(&cluster).connect_timeout(Duration::from_secs(3));
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
async fn credentials_that_never_come_are_given_up_at_the_deadline() {
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
async fn no_secret_is_printed() {
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
