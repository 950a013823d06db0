//! Why there are no credentials.

use std::{error::Error as StdError, fmt, sync::Arc};

use aws_credential_types::provider::error::CredentialsError as ProviderError;

/// Why there are no credentials. Cheap to clone, because all who wait for one fetch get it.
#[derive(Clone)]
pub(crate) enum CredentialsError {
    /// A variable of the environment is not set, and there is no other source.
    Missing { variable: &'static str },
    /// The provider failed.
    Provider(Arc<dyn StdError + Send + Sync>),
    /// The provider did not reply in time.
    TimedOut(Arc<dyn StdError + Send + Sync>),
}

impl From<ProviderError> for CredentialsError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::ProviderTimedOut(_) => Self::TimedOut(Arc::new(error)),
            _ => Self::Provider(Arc::new(error)),
        }
    }
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
