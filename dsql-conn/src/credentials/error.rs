//! Why there are no credentials, and what to do about it.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError as ProviderError;

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
    /// Creates the error for half of a key pair in the environment.
    pub(super) fn half_a_pair(missing: &'static str) -> Self {
        Self(Arc::new(Failed {
            reason: Reason::Credentials,
            words: format!("the environment variable {missing} is not set"),
            remedy: format!("set both {ACCESS_KEY_ID} and {SECRET_ACCESS_KEY}, or neither").into(),
            cause: None,
        }))
    }

    /// Creates the error for an environment without keys, if there is no other source.
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

    /// Creates the error for a provider that failed.
    pub(super) fn from_provider(source: &Source, error: ProviderError) -> Self {
        let words = words(&error);
        let reason = match error {
            _ if is_about_clock(&words) => Reason::ClockSkew,
            ProviderError::CredentialsNotLoaded(_) | ProviderError::InvalidConfiguration(_) => {
                Reason::Credentials
            }
            ProviderError::ProviderTimedOut(_) => Reason::CredentialsTimedOut,
            // A service or an instance's endpoint failed, or the SDK does not know the cause.
            _ => Reason::CredentialsUnavailable,
        };
        let known = match reason {
            Reason::ClockSkew => Some(Reason::ClockSkew.remedy()),
            // The remedy of a named profile names it.
            Reason::Credentials if !matches!(source, Source::Found) => None,
            _ => known_remedy(&words),
        };
        Self(Arc::new(Failed {
            reason,
            remedy: known.map_or_else(|| remedy(source, reason), Cow::Borrowed),
            words,
            cause: Some(error),
        }))
    }

    /// Creates the error for a provider that did not reply within this time.
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

    /// Returns what to do at the source of the credentials.
    pub(crate) fn remedy(&self) -> Cow<'static, str> {
        self.0.remedy.clone()
    }
}

/// Returns the provider's message. For a chain of providers, returns those of the configured
/// providers that failed: the others only report that they are not configured.
fn words(error: &ProviderError) -> String {
    if let Some(chain) = error.source().map(ToString::to_string)
        && let Some(attempts) = CHAIN.iter().find_map(|words| chain.strip_prefix(words))
    {
        let failed: Vec<_> = attempts
            .split("\n  ")
            .skip(1)
            .map(|attempt| {
                // The provider's name, generic words, and the causes.
                let said = attempt.splitn(3, ": ").last().unwrap_or(attempt);
                said.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .filter(|said| !NOT_CONFIGURED.iter().any(|words| said.contains(words)))
            .collect();
        return match failed.is_empty() {
            true => "no source of credentials is configured".to_owned(),
            false => failed.join("; "),
        };
    }
    let said = one_line(error);
    // The SDK writes generic words before the cause.
    GENERIC
        .iter()
        .fold(&*said, |said, words| {
            said.strip_prefix(words).unwrap_or(said)
        })
        .to_owned()
}

/// Returns what to do about failures of the SDK's providers, which are recognized by their
/// messages.
fn known_remedy(words: &str) -> Option<&'static str> {
    let words = words.to_lowercase();
    let has = |part: &str| words.contains(part);
    let remedy = if has("sso") && (has("token") || has("cache") || has("session")) {
        "log in by `aws sso login`, with --profile if one is used"
    } else if has("profile `") && has("was not defined") {
        "define the profile in ~/.aws/config, or correct AWS_PROFILE"
    } else if has("missing `aws_") || has("credential source in `") || has("partial credentials") {
        "complete the profile in ~/.aws/credentials: it needs both aws_access_key_id and \
         aws_secret_access_key"
    } else if has("imds") && (has("403") || has("forbidden")) {
        "allow this process to use the instance's metadata service: enable its HTTP endpoint, or \
         raise the hop limit for containers"
    } else if has("404 from imds") {
        "attach an IAM role to the instance, or give credentials in another way"
    } else if has("expiredtoken") || has("token included in the request is expired") {
        "renew the credentials that the role is assumed with"
    } else if has("accessdenied") || has("is not authorized to perform: sts:") {
        "allow the identity to assume the role: its own policy, and the role's trust policy"
    } else {
        return None;
    };
    Some(remedy)
}

/// Returns whether AWS refused a request because of its date.
fn is_about_clock(words: &str) -> bool {
    let words = words.to_lowercase();
    [
        "signature expired",
        "signature not yet current",
        "requestexpired",
        "requesttimetooskewed",
    ]
    .iter()
    .any(|said| words.contains(said))
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

/// The provider's own message, with its causes.
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

/// How the error of a chain of providers begins, before its attempts. The first one is written by
/// newer versions of `aws-config`, whose type for it the oldest supported ones do not have.
const CHAIN: &[&str] = &[
    "no credentials found in chain. Attempted:",
    "no providers in chain provided credentials",
];

/// Messages of the SDK's providers that are not configured.
const NOT_CONFIGURED: &[&str] = &[
    "environment variable not set",
    "no profiles were defined",
    "the credential provider was not enabled",
    "AWS_WEB_IDENTITY_TOKEN_FILE was not set",
    "ECS provider not configured",
    "IMDS disabled by",
    "could not communicate with IMDS",
];

const GENERIC: &[&str] = &[
    "an error occurred while loading credentials: ",
    "the credential provider was not enabled: ",
    "the credentials provider was not properly configured: ",
];

pub(super) const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(super) const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_tells_only_what_was_configured() {
        let attempts = "no credentials found in chain. Attempted:\
            \n  Environment: not enabled: environment variable not set\
            \n  Profile: not properly configured: no role: in it\
            \n  Ec2InstanceMetadata: an error occurred: IMDS disabled by X";
        let said = words(&ProviderError::not_loaded(attempts));
        assert_eq!(said, "no role: in it");
    }

    #[test]
    fn chain_without_a_source_says_so() {
        // The second one is aws-config 1.8's.
        for chain in [
            "no credentials found in chain. Attempted:\
             \n  Environment: not enabled: environment variable not set",
            "no providers in chain provided credentials",
        ] {
            let said = words(&ProviderError::not_loaded(chain));
            assert_eq!(said, "no source of credentials is configured");
        }
    }
}
