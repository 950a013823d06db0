use std::sync::atomic::{AtomicU32, Ordering};
use std::time::UNIX_EPOCH;

use aws_credential_types::provider::error::CredentialsError as ProviderError;
use aws_credential_types::provider::future;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::error::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use super::source::access_key;
use super::*;
use crate::config::ByIdentity;
use crate::reason::Reason;

/// A provider that waits at a gate, and counts its calls.
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
    let source = Source::Provider(ByIdentity(Arc::new(SharedCredentialsProvider::new(shared))));
    let meter = Arc::new(Meter::new("pool".to_owned(), None));
    let cache = CredentialsCache::new(source, Duration::from_secs(10), meter);
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
async fn a_cancelled_fetch_continues_for_other_waiters() {
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
async fn a_fetch_that_hangs_ends_at_its_timeout() {
    let (provider, cache) = cache(Gated {
        gate: Some(Semaphore::new(0)),
        ..Gated::default()
    });
    // Each caller starts to wait while others wait.
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
    let are_told = |result: &Result<_, CredentialsError>| {
        let reason = result.as_ref().err().map(CredentialsError::reason);
        reason == Some(Reason::CredentialsTimedOut)
    };
    assert!(results[..3].iter().all(are_told));
    assert!(results[3].is_ok());
    assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_failed_fetch_reaches_all_waiters_and_is_not_cached() {
    let (provider, cache) = cache(Gated {
        fails: true,
        ..Gated::default()
    });
    for asked in 1..=3 {
        let error = cache.get(at(0)).await.err().unwrap();
        assert_eq!(error.to_string(), "the instance is gone");
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

#[tokio::test]
async fn only_what_a_new_provider_returns_is_certainly_new() {
    let (_, cache) = cache(Gated {
        expiry: Some(at(1000)),
        ..Gated::default()
    });
    for (now, may_be_old) in [(0, false), (0, true), (940, true)] {
        let found = cache.get(at(now)).await.unwrap();
        assert_eq!(found.may_be_old, may_be_old, "at {now}");
    }
    cache.forget();
    assert!(!cache.get(at(0)).await.unwrap().may_be_old);
}

#[test]
fn only_reasons_that_may_pass_are_transient() {
    let words = "the words of the source";
    let (told, silent) = (Reason::Credentials, Reason::CredentialsTimedOut);
    for (error, reason, is_transient) in [
        (ProviderError::not_loaded(words), told, false),
        (ProviderError::invalid_configuration(words), told, false),
        (
            ProviderError::provider_timed_out(Duration::from_secs(1)),
            silent,
            true,
        ),
        (
            ProviderError::provider_error(words),
            Reason::CredentialsUnavailable,
            true,
        ),
        (
            ProviderError::unhandled(words),
            Reason::CredentialsUnavailable,
            true,
        ),
    ] {
        let error = CredentialsError::from_provider(&Source::Found, error);
        assert_eq!(error.reason(), reason, "{error}");
        assert_eq!(reason.is_transient(), is_transient, "{error}");
        assert!(reason == silent || error.to_string().ends_with(words));
    }
}

#[test]
fn the_remedy_is_that_of_the_source() {
    let provider = |source: &Source, error| CredentialsError::from_provider(source, error);
    let callers = SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test"));
    let sources = [
        (Source::Found, "AWS_ACCESS_KEY_ID", "STS"),
        #[cfg(feature = "aws-config")]
        (
            Source::Profile("orders".to_owned()),
            "profile \"orders\" in",
            "profile \"orders\" refers",
        ),
        (
            Source::Provider(ByIdentity(Arc::new(callers))),
            "Config::credentials",
            "Config::credentials",
        ),
    ];
    for (source, missing, unavailable) in sources {
        let is_missing = provider(&source, ProviderError::not_loaded_no_source());
        assert!(is_missing.remedy().contains(missing), "{is_missing}");
        let failed = provider(&source, ProviderError::provider_error("503"));
        assert!(failed.remedy().contains(unavailable), "{failed}");
        let silent = CredentialsError::timed_out(&source, Duration::from_secs(1));
        assert!(silent.remedy().contains(unavailable), "{silent}");
    }
}

#[test]
fn half_a_pair_of_keys_names_the_other_half() {
    let only = |set: &'static str| move |name: &str| (name == set).then(|| "x".to_owned());
    for (set, missing) in [
        (ACCESS_KEY_ID, SECRET_ACCESS_KEY),
        (SECRET_ACCESS_KEY, ACCESS_KEY_ID),
    ] {
        let half = access_key(only(set)).unwrap_err();
        let error = CredentialsError::half_a_pair(half.missing);
        assert!(error.to_string().contains(missing), "{error}");
    }
    assert!(access_key(|_| None).unwrap().is_none());
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
                let is_set = |value: Option<&'static str>| value.filter(|value| !value.is_empty());
                let read = access_key(variable);
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
