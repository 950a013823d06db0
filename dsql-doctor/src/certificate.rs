//! Reads the server's certificates, including refused ones.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dsql_conn::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use dsql_conn::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use dsql_conn::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use dsql_conn::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::words::{rough, written};

/// The fields of a certificate.
pub(crate) struct Certificate {
    pub(crate) subject: String,
    issuer: String,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Certificate {
    pub(crate) fn parse(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: time(validity.not_before.timestamp()),
            not_after: time(validity.not_after.timestamp()),
        })
    }

    /// Returns how long the certificate is still valid.
    pub(crate) fn left(&self, now: SystemTime) -> Option<Duration> {
        self.not_after.duration_since(now).ok()
    }

    pub(crate) fn describe(&self, now: SystemTime) -> String {
        let validity = match (now < self.not_before, self.not_after.duration_since(now)) {
            (true, _) => format!("valid from {} on", written(self.not_before)),
            (false, Ok(left)) => format!("valid for another {}", rough(left)),
            (false, Err(past)) => format!(
                "expired {} ago, at {}",
                rough(past.duration()),
                written(self.not_after)
            ),
        };
        format!("{} by {}, {validity}", self.subject, self.issuer)
    }
}

fn time(seconds: i64) -> SystemTime {
    match u64::try_from(seconds) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => UNIX_EPOCH,
    }
}

/// Returns a configuration that accepts every certificate, to show one that was refused. It is used
/// for a handshake only: no token, password or startup packet is sent.
pub(crate) fn unverified(config: &ClientConfig) -> ClientConfig {
    let mut unverified = config.clone();
    let provider = Arc::clone(config.crypto_provider());
    unverified
        .dangerous()
        .set_certificate_verifier(Arc::new(AcceptAll(provider)));
    unverified
}

#[derive(Debug)]
struct AcceptAll(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
