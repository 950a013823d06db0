//! Builds the TLS configuration. It always verifies the server, and names PostgreSQL's protocol in
//! ALPN.
//!
//! All connections of a pool share one `ClientConfig`, so that they can resume TLS sessions.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::config::Trust;
use crate::error::ConfigError;

/// Builds the configuration for `trust`.
///
/// # Errors
///
/// Only [`ConfigError::NoTlsProvider`].
pub(crate) fn client_config(trust: &Trust) -> Result<ClientConfig, ConfigError> {
    let mut config = match trust {
        Trust::Caller(config) => ClientConfig::clone(config),
        Trust::BuiltIn => verified_by(Arc::new(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }))?,
        Trust::Roots(roots) => verified_by(Arc::clone(roots))?,
    };
    // With direct TLS, the server requires this name:
    // https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL
    if config.alpn_protocols.is_empty() {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

fn verified_by(roots: Arc<RootCertStore>) -> Result<ClientConfig, ConfigError> {
    let provider = provider().ok_or(ConfigError::NoTlsProvider)?;
    // rustls's own default panics if two providers are in the dependency tree.
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ConfigError::NoTlsProvider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Returns whether TLS can work without a `ClientConfig` of the caller's.
///
/// # Errors
///
/// Only [`ConfigError::NoTlsProvider`].
pub(crate) fn has_tls_provider() -> Result<(), ConfigError> {
    provider().map(drop).ok_or(ConfigError::NoTlsProvider)
}

/// Prefers ring: aws-lc-rs seeds itself from the CPU's jitter, which costs a new process 25 ms.
fn provider() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "ring")]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return CryptoProvider::get_default().cloned();
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring;

    use super::*;
    use crate::config::{ByIdentity, Config};

    /// Returns a configuration of the caller, with a provider that this crate may not have.
    fn callers() -> Trust {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Trust::Caller(ByIdentity(Arc::new(config)))
    }

    #[test]
    fn missing_provider_matters_only_without_a_callers_config() {
        let has_provider = cfg!(any(feature = "ring", feature = "aws-lc-rs"));
        let expected = match has_provider {
            true => Ok(()),
            false => Err(ConfigError::NoTlsProvider),
        };
        assert_eq!(client_config(&Trust::BuiltIn).map(drop), expected);
        // The error is returned when the settings are read, not when a connection is opened.
        let url = "postgres://abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
        assert_eq!(url.parse::<Config>().map(drop), expected);
        assert!(client_config(&callers()).is_ok());
    }

    #[test]
    fn alpn_is_postgresql_and_a_callers_own_is_kept() {
        let built_in = client_config(&callers()).unwrap();
        assert_eq!(built_in.alpn_protocols, [b"postgresql"]);

        let mut own = built_in;
        own.alpn_protocols = vec![b"other".to_vec()];
        let kept = client_config(&Trust::Caller(ByIdentity(Arc::new(own)))).unwrap();
        assert_eq!(kept.alpn_protocols, [b"other"]);
    }
}
