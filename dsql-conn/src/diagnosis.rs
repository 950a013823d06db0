//! Runs single steps of an opening, for diagnoses such as those of `dsql-doctor`.

use aws_credential_types::Credentials;
use rustls::ClientConfig;

use crate::config::Config;
use crate::connect::Connector;
use crate::error::{ConfigError, ConnectError};
use crate::tls::client_config;

impl Config {
    /// Returns the TLS configuration that connections use.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoTlsProvider`].
    pub fn client_config(&self) -> Result<ClientConfig, ConfigError> {
        client_config(&self.trust)
    }

    /// Fetches the AWS credentials that would sign a token now.
    ///
    /// # Errors
    ///
    /// The same error as for a connection without credentials, with the reason.
    ///
    /// # Cancel safety
    ///
    /// May be dropped.
    pub async fn fetch_credentials(&self) -> Result<Credentials, ConnectError> {
        let connector = Connector::new(self.clone(), None, None);
        connector.fetch_credentials().await
    }
}
