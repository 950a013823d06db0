//! Why there are no credentials, and what to do about it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError as ProviderError;

use super::source::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::config::Source;
use crate::error::one_line;
use crate::reason::Reason;

/// Why there are no credentials. Cheap to clone: every waiter of a fetch gets it.
#[derive(Clone)]
pub(crate) struct CredentialsError(Arc<Failed>);

struct Failed {
    reason: Reason,
    words: String,
    remedy: Cow<'static, str>,
    cause: Option<ProviderError>,
}

impl CredentialsError {
    /// Half of a key pair is in the environment.
    pub(super) fn half_a_pair(missing: &'static str) -> Self {
        Self(Arc::new(Failed {
            reason: Reason::Credentials,
            words: format!("the environment variable {missing} is not set"),
            remedy: format!("set both {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or neither").into(),
            cause: None,
        }))
    }

    /// There is no other source than the environment.
    #[cfg(not(feature = "aws-config"))]
    pub(super) fn no_source() -> Self {
        Self(Arc::new(Failed {
            reason: Reason::Credentials,
            words: format!("the environment variable {ACCESS_KEY_ID} is not set"),
            remedy: format!(
                "set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, pass a provider to \
                 Config::credentials, or enable the feature `aws-config` of dsql-conn"
            )
            .into(),
            cause: None,
        }))
    }

    /// The provider failed.
    pub(super) fn from_provider(source: &Source, error: ProviderError) -> Self {
        let reason = match error {
            ProviderError::CredentialsNotLoaded(_) | ProviderError::InvalidConfiguration(_) => {
                Reason::Credentials
            }
            ProviderError::ProviderTimedOut(_) => Reason::CredentialsTimedOut,
            // A service or an instance's endpoint that failed, and what the SDK does not know.
            _ => Reason::CredentialsUnavailable,
        };
        Self(Arc::new(Failed {
            reason,
            words: one_line(&error),
            remedy: remedy(source, reason),
            cause: Some(error),
        }))
    }

    /// The provider did not reply within this time.
    pub(super) fn timed_out(source: &Source, limit: Duration) -> Self {
        let reason = Reason::CredentialsTimedOut;
        Self(Arc::new(Failed {
            reason,
            words: format!("no reply within {limit:?}"),
            remedy: remedy(source, reason),
            cause: None,
        }))
    }

    pub(crate) fn reason(&self) -> Reason {
        self.0.reason
    }

    /// What to do about it, where the credentials should come from.
    pub(crate) fn remedy(&self) -> Cow<'static, str> {
        self.0.remedy.clone()
    }
}

fn remedy(source: &Source, reason: Reason) -> Cow<'static, str> {
    let is_missing = reason == Reason::Credentials;
    match source {
        Source::Found if is_missing => format!(
            "set {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, configure another source of the AWS \
             SDK's default chain, or pass a provider to Config::credentials"
        )
        .into(),
        Source::Found => "check that the source of this machine's credentials (STS, SSO, the \
                          metadata endpoint of a container or an instance) can be reached from here"
            .into(),
        #[cfg(feature = "aws-config")]
        Source::Profile(name) if is_missing => {
            format!("check the profile {name:?} in the shared AWS configuration files").into()
        }
        #[cfg(feature = "aws-config")]
        Source::Profile(name) => format!(
            "check what the profile {name:?} refers to: a role, an SSO session or a process"
        )
        .into(),
        Source::Provider(_) => "check the provider that was passed to Config::credentials".into(),
    }
}

/// The provider's own words, with its causes.
impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.words)
    }
}

impl fmt::Debug for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for CredentialsError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_ref().map(|cause| cause as _)
    }
}
