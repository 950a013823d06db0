//! Finds the AWS credentials that sign tokens, and keeps them until shortly before they expire.
//!
//! The token is what changes with every connection; the credentials are what costs a round trip to fetch. The SDK's signer
//! asks its provider each time, past the SDK's own cache, so that the cache is here.

use std::{
    env,
    error::Error as StdError,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{
        ProvideCredentials, SharedCredentialsProvider, error::CredentialsError as ProviderError,
    },
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use tokio::time::timeout;

use crate::config::Source;

/// The credentials of one configuration, fetched once for everyone who needs them at the same time.
pub(crate) struct CredentialsCache {
    source: Source,
    patience: Duration,
    /// The provider that the source names, once it was needed.
    #[cfg(feature = "aws-config")]
    loaded: Arc<tokio::sync::OnceCell<SharedCredentialsProvider>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cached: Option<Credentials>,
    /// The fetch under way. It is driven by those who wait for it, and ends with the last of them.
    flight: Option<WeakShared<Flight>>,
}

type Flight = BoxFuture<'static, Result<Credentials, CredentialsError>>;

/// Credentials, and whether they were fetched some time ago: they may have been replaced since where they come from.
pub(crate) struct Found {
    pub(crate) credentials: Credentials,
    pub(crate) were_cached: bool,
}

impl CredentialsCache {
    /// Fetches from `source`, each time for no longer than `patience`.
    pub(crate) fn new(source: Source, patience: Duration) -> Self {
        Self {
            source,
            patience,
            #[cfg(feature = "aws-config")]
            loaded: Arc::default(),
            state: Arc::default(),
        }
    }

    /// Returns credentials that are good for a while longer than `now`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing: others who wait for the same fetch drive it on.
    pub(crate) async fn get(&self, now: SystemTime) -> Result<Found, CredentialsError> {
        if matches!(self.source, Source::Found)
            && let Some(credentials) = from_variables(|name| env::var(name).ok())?
        {
            return Ok(Found {
                credentials,
                were_cached: false,
            });
        }
        let fetching = match self.cached_or_flight(now) {
            Ok(credentials) => {
                return Ok(Found {
                    credentials,
                    were_cached: true,
                });
            }
            Err(flight) => flight,
        };
        Ok(Found {
            credentials: fetching.await?,
            were_cached: false,
        })
    }

    /// Forgets what is cached, because the service refused a token that it signed.
    pub(crate) fn forget(&self) {
        self.lock().cached = None;
    }

    /// Returns what is cached, or the fetch under way.
    fn cached_or_flight(&self, now: SystemTime) -> Result<Credentials, Shared<Flight>> {
        let mut state = self.lock();
        if let Some(cached) = state.cached.as_ref().filter(|cached| is_fresh(cached, now)) {
            return Ok(cached.clone());
        }
        if let Some(flight) = state.flight.as_ref().and_then(WeakShared::upgrade) {
            return Err(flight);
        }
        let flight = self.start();
        state.flight = flight.downgrade();
        Err(flight)
    }

    fn start(&self) -> Shared<Flight> {
        let state = Arc::clone(&self.state);
        let source = self.source.clone();
        let patience = self.patience;
        #[cfg(feature = "aws-config")]
        let loaded = Arc::clone(&self.loaded);
        async move {
            let fetching = async {
                match source {
                    Source::Provider(provider) => provide(&provider).await,
                    #[cfg(feature = "aws-config")]
                    Source::Found => provide(loaded.get_or_init(default_chain).await).await,
                    #[cfg(feature = "aws-config")]
                    Source::Profile(name) => {
                        provide(loaded.get_or_init(|| profile(name)).await).await
                    }
                    #[cfg(not(feature = "aws-config"))]
                    Source::Found => Err(CredentialsError::Missing {
                        variable: ACCESS_KEY_ID,
                    }),
                }
            };
            // One that hangs must not be what every later connection waits for, too.
            let fetched = match timeout(patience, fetching).await {
                Ok(fetched) => fetched,
                Err(elapsed) => Err(CredentialsError::TimedOut(Arc::new(elapsed))),
            };
            // A failure is not remembered: the next connection asks again.
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.flight = None;
            if let Ok(credentials) = &fetched {
                state.cached = Some(credentials.clone());
            }
            fetched
        }
        .boxed()
        .shared()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn provide(provider: &SharedCredentialsProvider) -> Result<Credentials, CredentialsError> {
    provider
        .provide_credentials()
        .await
        .map_err(|error| match error {
            ProviderError::ProviderTimedOut(_) => CredentialsError::TimedOut(Arc::new(error)),
            _ => CredentialsError::Provider(Arc::new(error)),
        })
}

/// Shared files, SSO, web identity, containers, IMDS: in the SDK's order. Built when it is first needed, because that
/// parses the system's certificates.
#[cfg(feature = "aws-config")]
async fn default_chain() -> SharedCredentialsProvider {
    let chain = aws_config::default_provider::credentials::default_provider().await;
    SharedCredentialsProvider::new(chain)
}

#[cfg(feature = "aws-config")]
async fn profile(name: String) -> SharedCredentialsProvider {
    let profile = aws_config::profile::ProfileFileCredentialsProvider::builder()
        .profile_name(name)
        .build();
    SharedCredentialsProvider::new(profile)
}

/// Reads the keys that Lambda and most shells set. None at all is no error; half of a pair is.
fn from_variables(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, CredentialsError> {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    match (variable(ACCESS_KEY_ID), variable(SECRET_ACCESS_KEY)) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(
            id,
            secret,
            variable("AWS_SESSION_TOKEN"),
            None,
            "environment",
        ))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError::Missing {
            variable: SECRET_ACCESS_KEY,
        }),
        (None, Some(_)) => Err(CredentialsError::Missing {
            variable: ACCESS_KEY_ID,
        }),
    }
}

fn is_fresh(credentials: &Credentials, now: SystemTime) -> bool {
    credentials
        .expiry()
        .is_none_or(|expiry| now + EXPIRY_MARGIN < expiry)
}

/// Why there are no credentials.
#[derive(Clone)]
pub(crate) enum CredentialsError {
    /// A variable of the environment is not set, and there is no other source.
    Missing { variable: &'static str },
    /// The provider failed.
    Provider(Arc<dyn StdError + Send + Sync>),
    /// What the provider asked did not answer in time.
    TimedOut(Arc<dyn StdError + Send + Sync>),
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { variable } => {
                write!(f, "the environment variable {variable} is not set")
            }
            Self::Provider(_) => f.write_str("the credentials provider failed"),
            Self::TimedOut(_) => f.write_str("the credentials provider timed out"),
        }
    }
}

impl fmt::Debug for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for CredentialsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Missing { .. } => None,
            Self::Provider(source) | Self::TimedOut(source) => Some(&**source),
        }
    }
}

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Credentials that end sooner than this are fetched anew: a token dies with the credentials that signed it, and the login
/// that uses it may take as long as a connect timeout.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::UNIX_EPOCH,
    };

    use aws_credential_types::provider::future;
    use futures_util::future::join_all;
    use tokio::{sync::Semaphore, time::sleep};

    use super::*;

    /// Hands out credentials only as far as its gate has been opened, and counts.
    #[derive(Debug, Default)]
    struct Gated {
        asked: AtomicU32,
        gate: Option<Semaphore>,
        fails: bool,
        expiry: Option<SystemTime>,
    }

    impl ProvideCredentials for Gated {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                self.asked.fetch_add(1, Ordering::SeqCst);
                if let Some(gate) = &self.gate {
                    gate.acquire().await.unwrap().forget();
                }
                match self.fails {
                    true => Err(ProviderError::provider_error("the instance is gone")),
                    false => Ok(Credentials::new(
                        "AKID",
                        "secret",
                        None,
                        self.expiry,
                        "test",
                    )),
                }
            })
        }
    }

    fn cache(provider: Gated) -> (Arc<Gated>, CredentialsCache) {
        let provider = Arc::new(provider);
        let shared: Arc<dyn ProvideCredentials> = Arc::clone(&provider) as _;
        let shared = Arc::new(SharedCredentialsProvider::new(shared));
        let cache = CredentialsCache::new(Source::Provider(shared), Duration::from_secs(10));
        (provider, cache)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn two_hundred_at_once_make_one_fetch() {
        let (provider, cache) = cache(Gated {
            gate: Some(Semaphore::new(0)),
            ..Gated::default()
        });
        let waiting = join_all((0..200).map(|_| cache.get(at(0))));
        let opened = async { provider.gate.as_ref().unwrap().add_permits(1) };
        let (results, ()) = tokio::join!(waiting, opened);
        assert!(results.iter().all(Result::is_ok));
        assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_cancelled_fetch_leaves_the_others_theirs() {
        let (provider, cache) = cache(Gated {
            gate: Some(Semaphore::new(0)),
            ..Gated::default()
        });
        let mut first = Box::pin(cache.get(at(0)));
        let mut second = Box::pin(cache.get(at(0)));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        provider.gate.as_ref().unwrap().add_permits(1);
        assert!(second.await.is_ok());
        assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_hangs_is_not_joined_for_ever() {
        let (provider, cache) = cache(Gated {
            gate: Some(Semaphore::new(0)),
            ..Gated::default()
        });
        // Each begins to wait while others do.
        let waiting = (0..4).map(|number| {
            let cache = &cache;
            async move {
                sleep(Duration::from_secs(4 * number)).await;
                cache.get(at(0)).await
            }
        });
        let opened = async {
            sleep(Duration::from_secs(11)).await;
            provider.gate.as_ref().unwrap().add_permits(1);
        };
        let (results, ()) = tokio::join!(join_all(waiting), opened);
        let are_told = |result: &Result<_, _>| matches!(result, Err(CredentialsError::TimedOut(_)));
        assert!(results[..3].iter().all(are_told));
        assert!(results[3].is_ok());
        assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_and_not_remembered() {
        let (provider, cache) = cache(Gated {
            fails: true,
            ..Gated::default()
        });
        for asked in 1..=3 {
            let error = cache.get(at(0)).await.err().unwrap();
            let cause = error.source().and_then(StdError::source).unwrap();
            assert_eq!(cause.to_string(), "the instance is gone");
            assert_eq!(provider.asked.load(Ordering::SeqCst), asked);
        }
    }

    #[tokio::test]
    async fn credentials_are_kept_until_shortly_before_they_expire() {
        let (provider, cache) = cache(Gated {
            expiry: Some(at(1000)),
            ..Gated::default()
        });
        for (now, asked) in [(0, 1), (900, 1), (939, 1), (940, 2), (2000, 3)] {
            cache.get(at(now)).await.unwrap();
            assert_eq!(provider.asked.load(Ordering::SeqCst), asked, "at {now}");
        }
        cache.forget();
        cache.get(at(0)).await.unwrap();
        assert_eq!(provider.asked.load(Ordering::SeqCst), 4);
    }

    #[test]
    fn half_a_pair_of_keys_names_the_other_half() {
        let only = |set: &'static str| move |name: &str| (name == set).then(|| "x".to_owned());
        for (set, missing) in [
            (ACCESS_KEY_ID, SECRET_ACCESS_KEY),
            (SECRET_ACCESS_KEY, ACCESS_KEY_ID),
        ] {
            let error = from_variables(only(set)).unwrap_err();
            assert!(error.to_string().contains(missing), "{error}");
        }
        assert!(from_variables(|_| None).unwrap().is_none());
    }

    #[test]
    fn every_state_of_the_variables_is_keys_or_none_or_an_error() {
        let states = [None, Some(""), Some("x y\n\u{e9}")];
        for id in states {
            for secret in states {
                for session in states {
                    let variable = |name: &str| {
                        let value = match name {
                            ACCESS_KEY_ID => id,
                            SECRET_ACCESS_KEY => secret,
                            _ => session,
                        };
                        value.map(str::to_owned)
                    };
                    let is_set =
                        |value: Option<&'static str>| value.filter(|value| !value.is_empty());
                    let read = from_variables(variable);
                    match (is_set(id), is_set(secret)) {
                        (Some(id), Some(secret)) => {
                            let keys = read.unwrap().unwrap();
                            assert_eq!(
                                (keys.access_key_id(), keys.secret_access_key()),
                                (id, secret)
                            );
                            assert_eq!(keys.session_token(), is_set(session));
                        }
                        (None, None) => assert!(read.unwrap().is_none()),
                        _ => assert!(read.is_err()),
                    }
                }
            }
        }
    }
}
