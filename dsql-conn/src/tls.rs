//! Builds the TLS side: verified always, PostgreSQL's own protocol by ALPN, one configuration for all connections.
//!
//! One `ClientConfig` is shared by everything a manager opens, so that session tickets are found again.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};

use crate::{config::Trust, error::ConfigError};

/// Builds the configuration that `trust` asks for.
pub(crate) fn client_config(trust: &Trust) -> Result<ClientConfig, ConfigError> {
    let mut config = match trust {
        Trust::Caller(config) => ClientConfig::clone(config),
        Trust::BuiltIn => verified_by(Arc::new(RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }))?,
        Trust::Roots(roots) => verified_by(Arc::clone(roots))?,
    };
    // A server that speaks TLS from the first byte tells PostgreSQL from other protocols by this name:
    // https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL
    if config.alpn_protocols.is_empty() {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(config)
}

fn verified_by(roots: Arc<RootCertStore>) -> Result<ClientConfig, ConfigError> {
    let provider = provider().ok_or(ConfigError::NoTlsProvider)?;
    // Named here and not read from the process's default, which panics when two providers are in the tree.
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ConfigError::NoTlsProvider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// Returns ring where it is built in: aws-lc-rs seeds itself from the CPU's jitter, which costs a fresh process 25 ms.
fn provider() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "ring")]
    return Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    return Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    return None;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ByIdentity;

    #[test]
    fn alpn_is_postgresql_and_a_callers_own_is_kept() {
        let built_in = client_config(&Trust::BuiltIn).unwrap();
        assert_eq!(built_in.alpn_protocols, [b"postgresql"]);

        let mut own = built_in;
        own.alpn_protocols = vec![b"other".to_vec()];
        let kept = client_config(&Trust::Caller(ByIdentity(Arc::new(own)))).unwrap();
        assert_eq!(kept.alpn_protocols, [b"other"]);
    }
}
