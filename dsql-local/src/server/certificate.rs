//! The cluster's certificate authority, and the certificate that it issues for the cluster's host
//! names.

use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::server::host::Hosts;

/// A private certificate authority and one certificate that it issued.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    pub(crate) ca_der: CertificateDer<'static>,
    leaf: Arc<CertifiedKey>,
}

/// The PEM files that a certificate authority is restored from.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Authority {
    pub(crate) certificate_pem: String,
    key_pem: String,
}

impl Certificates {
    /// Creates an authority, or restores a saved one, and issues the certificate, which expires at
    /// `end`.
    pub(crate) fn for_hosts(
        hosts: &Hosts,
        saved: Option<&Authority>,
        end: Option<SystemTime>,
    ) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "dsql-local certificate authority");
        let authority_key = match saved {
            Some(saved) => KeyPair::from_pem(&saved.key_pem)?,
            None => KeyPair::generate()?,
        };
        let saved = match saved {
            Some(saved) => saved.clone(),
            None => Authority {
                certificate_pem: authority.self_signed(&authority_key)?.pem(),
                key_pem: authority_key.serialize_pem(),
            },
        };
        let ca_der = CertificateDer::from_pem_slice(saved.certificate_pem.as_bytes())
            .map_err(|error| rcgen::Error::PemError(error.to_string()))?;
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = CertificateParams::new(hosts.certified())?;
        leaf.distinguished_name
            .push(DnType::CommonName, &hosts.public);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if let Some(end) = end {
            leaf.not_after = end.into();
        }
        let leaf_key = KeyPair::generate()?;
        let leaf_certificate = leaf.signed_by(&leaf_key, &issuer)?;
        let leaf = CertifiedKey::from_der(
            vec![leaf_certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
            &ring::default_provider(),
        )
        .expect("the certificate was issued for this key pair");

        Ok(Self {
            ca_der,
            authority: saved,
            leaf: Arc::new(leaf),
        })
    }

    /// Returns the server side of TLS: TLS 1.2 and 1.3, tickets for resumption, ALPN `postgresql`.
    pub(crate) fn server_config(&self, hosts: &Hosts) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(HostCertificate {
                hosts: hosts.clone(),
                certificate: self.leaf.clone(),
            }));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = ring::Ticketer::new().expect("the system provides random bytes");
        Arc::new(config)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// Serves the cluster's hosts. A hello without SNI, or for `localhost`, gets the certificate as
/// well, so that the client can get an error message after the handshake.
#[derive(Debug)]
struct HostCertificate {
    hosts: Hosts,
    certificate: Arc<CertifiedKey>,
}

impl ResolvesServerCert for HostCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .is_none_or(|name| self.hosts.answers_to(name) || Hosts::is_not_an_endpoint(name))
            .then(|| self.certificate.clone())
    }
}

/// The ALPN protocol that direct TLS requires.
pub(crate) const ALPN: &[u8] = b"postgresql";
