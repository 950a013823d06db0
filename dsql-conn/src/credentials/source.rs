//! Gets credentials from the source that a configuration names.

use std::env;
use std::time::SystemTime;

#[cfg(feature = "aws-config")]
use aws_config::default_provider::credentials::default_provider;
#[cfg(feature = "aws-config")]
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_types::date_time::{DateTime, Format};

use super::error::{ACCESS_KEY_ID, CredentialsError, SECRET_ACCESS_KEY};
use crate::config::Source;

/// Reads the access key from this process's environment, if it is the source and has one.
pub(super) fn from_environment(source: &Source) -> Result<Option<Credentials>, CredentialsError> {
    match source {
        Source::Found => access_key(|name| env::var(name).ok())
            .map_err(|half| CredentialsError::half_a_pair(half.missing)),
        _ => Ok(None),
    }
}

/// Only one half of the access key is set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HalfAKey {
    /// The variable that is missing.
    pub(crate) missing: &'static str,
}

/// Reads the variables that Lambda and most shells set.
pub(crate) fn access_key(
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Credentials>, HalfAKey> {
    let variable = |name| variable(name).filter(|value| !value.is_empty());
    match (variable(ACCESS_KEY_ID), variable(SECRET_ACCESS_KEY)) {
        (Some(id), Some(secret)) => Ok(Some(Credentials::new(
            id,
            secret,
            variable(SESSION_TOKEN),
            variable(EXPIRATION).as_deref().and_then(time),
            "environment",
        ))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(HalfAKey {
            missing: SECRET_ACCESS_KEY,
        }),
        (None, Some(_)) => Err(HalfAKey {
            missing: ACCESS_KEY_ID,
        }),
    }
}

/// Reads when credentials expire. Tools that export temporary ones set it: `aws configure
/// export-credentials --format env`.
fn time(text: &str) -> Option<SystemTime> {
    let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
    SystemTime::try_from(time).ok()
}

/// Builds the provider of a source that is not the environment.
///
/// The SDK's providers read the shared AWS files once and keep what they parsed, even an error.
/// Only a new provider reads the files again.
pub(super) async fn provider(
    source: &Source,
) -> Result<SharedCredentialsProvider, CredentialsError> {
    match source {
        Source::Provider(provider) => Ok(SharedCredentialsProvider::clone(provider)),
        // The chain is built only when it is needed, because that parses the system's root
        // certificates.
        #[cfg(feature = "aws-config")]
        Source::Found => Ok(SharedCredentialsProvider::new(default_provider().await)),
        #[cfg(not(feature = "aws-config"))]
        Source::Found => Err(CredentialsError::no_source()),
        #[cfg(feature = "aws-config")]
        Source::Profile(name) => {
            let profile = ProfileFileCredentialsProvider::builder().profile_name(name);
            Ok(SharedCredentialsProvider::new(profile.build()))
        }
    }
}

const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const EXPIRATION: &str = "AWS_CREDENTIAL_EXPIRATION";
