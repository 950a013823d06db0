//! Failing credential providers: what is retried, and what the error says.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::TimeSource;
use dsql_conn::{Config, Reason};
use dsql_local::{Action, LocalCluster};

use crate::support::{Clock, builder, cluster, config, credentials};

/// A provider that fails this many times.
#[derive(Debug, Clone)]
struct Failing {
    times: u32,
    error: fn() -> CredentialsError,
    credentials: Credentials,
    asked: Arc<AtomicU32>,
}

impl Failing {
    fn new(cluster: &LocalCluster, times: u32, error: fn() -> CredentialsError) -> Self {
        Self {
            times,
            error,
            credentials: credentials(cluster.admin()),
            asked: Arc::default(),
        }
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for Failing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        future::ProvideCredentials::ready(match asked < self.times {
            true => Err((self.error)()),
            false => Ok(self.credentials.clone()),
        })
    }
}

/// Fails to connect. Returns the reason and the whole message.
async fn refused(config: Config) -> (Reason, String) {
    let error = config.connect().await.unwrap_err();
    (error.reason().unwrap(), error.to_string())
}

#[tokio::test]
async fn provider_that_fails_once_is_called_again() {
    let cluster = cluster().await;
    let provider = Failing::new(&cluster, 1, || {
        CredentialsError::provider_error("IMDS answered 503")
    });
    let config = config(&cluster).credentials(provider.clone());
    config.connect().await.unwrap();
    assert_eq!((provider.asked(), cluster.counts().logins), (2, 1));
}

#[tokio::test]
async fn failing_provider_is_reported_with_its_own_message() {
    let cluster = cluster().await;
    for error in [
        || CredentialsError::provider_error("IMDS answered 503"),
        || CredentialsError::unhandled("IMDS answered 503"),
    ] {
        let provider = Failing::new(&cluster, u32::MAX, error);
        let (reason, said) = refused(config(&cluster).credentials(provider.clone())).await;
        assert_eq!(reason, Reason::CredentialsUnavailable, "{said}");
        assert!(reason.is_transient());
        assert_eq!(said.matches("IMDS answered 503").count(), 1, "{said}");
        assert!(said.contains("tried 3 times"), "{said}");
        assert!(said.contains("Config::credentials"), "{said}");
        assert_eq!(provider.asked(), 3);
    }
    assert_eq!(cluster.counts().accepted, 0);
}

#[tokio::test]
async fn provider_without_credentials_is_called_once() {
    let cluster = cluster().await;
    for error in [
        || CredentialsError::not_loaded("no key in the vault"),
        || CredentialsError::invalid_configuration("no key in the vault"),
    ] {
        let provider = Failing::new(&cluster, u32::MAX, error);
        let (reason, said) = refused(config(&cluster).credentials(provider.clone())).await;
        assert_eq!(reason, Reason::Credentials, "{said}");
        assert!(!reason.is_transient());
        assert!(said.contains("no key in the vault"), "{said}");
        assert!(
            said.ends_with("; check the provider that was passed to Config::credentials"),
            "{said}"
        );
        assert_eq!(provider.asked(), 1);
    }
}

/// A provider that returns these credentials, one after another.
#[derive(Debug, Clone)]
struct Succession(Arc<Mutex<Vec<Credentials>>>);

impl ProvideCredentials for Succession {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(self.0.lock().unwrap().remove(0)))
    }
}

/// A provider keeps what it has read from files. So do those of the SDK.
#[tokio::test]
async fn keys_that_a_kept_provider_returns_may_be_old() {
    const HOUR: Duration = Duration::from_secs(3_600);

    let cluster = cluster().await;
    let clock = Clock::default();
    let mut first = credentials(cluster.admin());
    *first.expiry_mut() = Some(clock.now() + HOUR);
    let revoked = cluster.identity("revoked", &[Action::DbConnectAdmin]);
    cluster.forget(&revoked);
    let keys = vec![first, credentials(&revoked), credentials(cluster.admin())];
    let provider = Succession(Arc::new(Mutex::new(keys)));
    let config = config(&cluster)
        .credentials(provider.clone())
        .time_source(clock.clone());
    let pool = builder(config).max_size(1).build();
    drop(pool.get().await.unwrap());
    clock.advance(HOUR);
    cluster.clock().advance(HOUR);
    pool.get().await.unwrap();
    assert_eq!(provider.0.lock().unwrap().len(), 0);
}
