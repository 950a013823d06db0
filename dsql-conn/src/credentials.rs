//! Finds the AWS credentials that sign tokens, and caches them until shortly before they expire.
//!
//! Each connection gets a token of its own, but fetching credentials can cost a round trip. The
//! SDK's signer calls its provider each time and bypasses the SDK's cache, so the cache is here.

mod error;
mod source;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::timeout;

pub(crate) use self::error::CredentialsError;
pub(crate) use self::source::{HalfAKey, access_key};
use self::source::{from_environment, provider};
use crate::config::Source;
use crate::telemetry::Meter;

/// The credentials of one configuration. Concurrent callers share one fetch.
pub(crate) struct CredentialsCache {
    source: Source,
    timeout: Duration,
    meter: Arc<Meter>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    cached: Option<Credentials>,
    /// The provider that fetched them, and what it has read from files.
    provider: Option<SharedCredentialsProvider>,
    /// The fetch in flight. Its waiters poll it, and it ends with the last of them.
    fetch: Option<WeakShared<Fetch>>,
}

type Fetch = BoxFuture<'static, Result<Found, CredentialsError>>;

/// Credentials, and whether the source may have newer ones by now.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) credentials: Credentials,
    /// They come from the cache, or from a provider that may keep what it has read from files.
    pub(crate) may_be_old: bool,
}

impl CredentialsCache {
    /// Makes an empty cache. `timeout` bounds each fetch.
    pub(crate) fn new(source: Source, timeout: Duration, meter: Arc<Meter>) -> Self {
        Self {
            source,
            timeout,
            meter,
            state: Arc::default(),
        }
    }

    /// Returns credentials that do not expire shortly after `now`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: other waiters keep the fetch going.
    pub(crate) async fn get(&self, now: SystemTime) -> Result<Found, CredentialsError> {
        if let Some(credentials) = from_environment(&self.source)? {
            return Ok(Found {
                credentials,
                may_be_old: false,
            });
        }
        match self.cached_or_fetch(now) {
            Ok(credentials) => Ok(Found {
                credentials,
                may_be_old: true,
            }),
            Err(fetch) => fetch.await,
        }
    }

    /// Empties the cache, because the service refused a token. Also drops the provider, which may
    /// keep the contents of files that have been replaced.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.cached = None;
        state.provider = None;
    }

    /// Returns the cached credentials, or the fetch in flight.
    fn cached_or_fetch(&self, now: SystemTime) -> Result<Credentials, Shared<Fetch>> {
        let mut state = self.lock();
        if let Some(cached) = state.cached.as_ref().filter(|cached| is_fresh(cached, now)) {
            return Ok(cached.clone());
        }
        if let Some(fetch) = state.fetch.as_ref().and_then(WeakShared::upgrade) {
            return Err(fetch);
        }
        let fetch = self.start(state.provider.clone());
        state.fetch = fetch.downgrade();
        Err(fetch)
    }

    fn start(&self, known: Option<SharedCredentialsProvider>) -> Shared<Fetch> {
        let state = Arc::clone(&self.state);
        let source = self.source.clone();
        let limit = self.timeout;
        let meter = Arc::clone(&self.meter);
        let may_be_old = known.is_some();
        async move {
            let fetching = async {
                let provider = match known {
                    Some(provider) => provider,
                    None => provider(&source).await?,
                };
                match provider.provide_credentials().await {
                    Ok(credentials) => Ok((provider, credentials)),
                    Err(error) => Err(CredentialsError::from_provider(&source, error)),
                }
            };
            // Without a timeout, every later connection would wait for a fetch that hangs.
            let fetched = timeout(limit, fetching)
                .await
                .unwrap_or_else(|_| Err(CredentialsError::timed_out(&source, limit)));
            meter.credentials(fetched.as_ref().err().map(CredentialsError::reason));
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state.fetch = None;
            match fetched {
                Ok((provider, credentials)) => {
                    state.provider = Some(provider);
                    state.cached = Some(credentials.clone());
                    Ok(Found {
                        credentials,
                        may_be_old,
                    })
                }
                // Errors are not cached: the next connection asks again, by a new provider that
                // reads the files again.
                Err(error) => {
                    state.provider = None;
                    Err(error)
                }
            }
        }
        .boxed()
        .shared()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(credentials: &Credentials, now: SystemTime) -> bool {
    credentials
        .expiry()
        .is_none_or(|expiry| now + EXPIRY_MARGIN < expiry)
}

/// A token is valid no longer than the credentials that signed it, and the login that uses it may
/// take as long as a connect timeout. Credentials that expire within this margin are fetched again.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);

/// How many fetches in a row may fail before a connection attempt gives up. The SDK's providers
/// retry by themselves, and a developer without a network should know soon.
pub(crate) const MOST_FETCHES: u32 = 3;
