//! The source of the AWS credentials.

use std::sync::Arc;

use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};

use super::Config;
use super::identity::ByIdentity;

/// The source of the credentials that sign tokens.
#[derive(Clone, PartialEq)]
pub(crate) enum Source {
    /// The environment, else the SDK's default chain.
    Found,
    /// A profile of the shared configuration files.
    #[cfg(feature = "aws-config")]
    Profile(String),
    /// The caller's provider.
    Provider(ByIdentity<SharedCredentialsProvider>),
}

impl Config {
    /// Sets the provider of the AWS credentials that sign tokens. Defaults to the environment
    /// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`), and without those, with
    /// the feature `aws-config`, to the SDK's default chain.
    ///
    /// Credentials are cached until shortly before they expire, or until the service refuses them.
    /// Connections that need them at the same time share one call of the provider.
    /// [`aws_credential_types::Credentials`] is a provider, too:
    ///
    /// ```
    /// # let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?;
    /// use aws_credential_types::Credentials;
    ///
    /// let keys = Credentials::new("AKIAIOSFODNN7EXAMPLE", "secret", None, None, "vault");
    /// let config = dsql_conn::Config::new(endpoint).credentials(keys);
    /// # Ok::<(), dsql_conn::ConfigError>(())
    /// ```
    #[must_use]
    pub fn credentials(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        let provider = SharedCredentialsProvider::new(provider);
        self.credentials = Source::Provider(ByIdentity(Arc::new(provider)));
        self
    }

    /// Signs with the credentials of this profile in the shared AWS configuration files, even if
    /// the environment has others. Defaults to none: see [`credentials`](Self::credentials).
    #[cfg(feature = "aws-config")]
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.credentials = Source::Profile(name.into());
        self
    }
}
