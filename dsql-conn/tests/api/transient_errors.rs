//! Errors that are retried: unresponsive name servers, late or replaced credentials.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use dsql_conn::{Config, Pool, Reason};
use dsql_local::{Action, LocalCluster};

use crate::connect_errors::refusal;
use crate::support::{Rotating, cluster, config, credentials};

/// A configuration for the administrator whose host name is resolved.
fn by_name(cluster: &LocalCluster) -> Config {
    let endpoint = cluster.endpoint().parse().expect("the cluster's own");
    Config::new(endpoint)
        .port(cluster.address().port())
        .root_certificates([cluster.ca_der().clone()])
        .unwrap()
        .credentials(credentials(cluster.admin()))
        .connect_timeout(Duration::from_secs(60))
}

#[tokio::test]
async fn unknown_name_is_reported() {
    let cluster = cluster().await;
    let unknown = |_, _| async { Err(io::Error::other("Name or service not known")) };
    let config = by_name(&cluster).resolver(unknown);
    assert_eq!(refusal(config).await.0, Reason::NameResolution);
}

#[tokio::test]
async fn unresponsive_name_servers_are_asked_again() {
    let cluster = cluster().await;
    let asked = Arc::new(AtomicU32::new(0));
    let answers = [
        io::Error::from(io::ErrorKind::TimedOut),
        io::Error::other(
            "failed to lookup address information: Temporary failure in name resolution",
        ),
        io::Error::other("failed to lookup address information: Try again"),
    ];
    let (counter, errors) = (
        Arc::clone(&asked),
        Arc::new(Mutex::new(answers.into_iter())),
    );
    let (endpoint, address) = (cluster.endpoint().to_owned(), cluster.address());
    let config = by_name(&cluster).resolver(move |host, port| {
        counter.fetch_add(1, Ordering::SeqCst);
        assert_eq!((&*host, port), (&*endpoint, address.port()));
        let error = errors.lock().unwrap().next();
        async move { error.map_or_else(|| Ok(vec![address]), Err) }
    });
    config.connect().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 4);

    let silent = |_, _| async { Err(io::ErrorKind::TimedOut.into()) };
    let config = by_name(&cluster)
        .resolver(silent)
        .connect_timeout(Duration::from_millis(200));
    assert_eq!(refusal(config).await.0, Reason::NameServer);
}

#[tokio::test]
async fn provider_that_timed_out_is_called_again() {
    let cluster = cluster().await;
    let provider = TimesOutOnce {
        then: credentials(cluster.admin()),
        asked: AtomicU32::new(0),
    };
    let config = config(&cluster).credentials(provider);
    config.connect().await.unwrap();
}

#[derive(Debug)]
struct TimesOutOnce {
    then: Credentials,
    asked: AtomicU32,
}

impl ProvideCredentials for TimesOutOnce {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(match self.asked.fetch_add(1, Ordering::SeqCst) {
            0 => Err(CredentialsError::provider_timed_out(Duration::from_secs(1))),
            _ => Ok(self.then.clone()),
        })
    }
}

#[tokio::test]
async fn credentials_replaced_before_they_expire_are_fetched_again() {
    let cluster = cluster().await;
    let first = cluster.identity("first", &[Action::DbConnectAdmin]);
    let provider = Rotating(Arc::new(Mutex::new(credentials(&first))));
    let pool = Pool::new(config(&cluster).credentials(provider.clone()));
    let held = pool.get().await.unwrap();
    let second = cluster.identity("second", &[Action::DbConnectAdmin]);
    *provider.0.lock().unwrap() = credentials(&second);
    cluster.forget(&first);
    pool.get().await.unwrap();
    assert_eq!(cluster.counts().logins, 2);

    // Credentials that were fetched just now are not fetched again.
    let third = cluster.identity("third", &[]);
    *provider.0.lock().unwrap() = credentials(&third);
    let accepted = cluster.counts().accepted;
    let error = Config::connect(&config(&cluster).credentials(provider)).await;
    assert_eq!(error.unwrap_err().reason(), Some(Reason::NotAuthorized));
    assert_eq!(cluster.counts().accepted, accepted + 1);
    drop(held);
}
