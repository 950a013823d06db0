//! The cluster's certificate authority and its certificate for the service's host names.
//! `front` serves with them; a client trusts the authority.

use std::sync::Arc;

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

use crate::host::Hosts;

/// A private certificate authority and one certificate that it signed.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    pub(crate) ca_der: CertificateDer<'static>,
    leaf: Arc<CertifiedKey>,
}

/// What a certificate authority is made again from.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Authority {
    pub(crate) certificate_pem: String,
    key_pem: String,
}

impl Certificates {
    /// Makes an authority, or signs again with one that was kept.
    pub(crate) fn for_hosts(hosts: &Hosts, kept: Option<&Authority>) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority
            .distinguished_name
            .push(DnType::CommonName, "dsql-local certificate authority");
        let authority_key = match kept {
            Some(kept) => KeyPair::from_pem(&kept.key_pem)?,
            None => KeyPair::generate()?,
        };
        let kept = match kept {
            Some(kept) => kept.clone(),
            None => Authority {
                certificate_pem: authority.self_signed(&authority_key)?.pem(),
                key_pem: authority_key.serialize_pem(),
            },
        };
        let ca_der = CertificateDer::from_pem_slice(kept.certificate_pem.as_bytes())
            .map_err(|error| rcgen::Error::PemError(error.to_string()))?;
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = CertificateParams::new(hosts.certified())?;
        leaf.distinguished_name
            .push(DnType::CommonName, &hosts.public);
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf_key = KeyPair::generate()?;
        let leaf_certificate = leaf.signed_by(&leaf_key, &issuer)?;
        let leaf = CertifiedKey::from_der(
            vec![leaf_certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf_key.serialize_der())),
            &ring::default_provider(),
        )
        .expect("a key pair made here fits its certificate");

        Ok(Self {
            ca_der,
            authority: kept,
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
        config.ticketer = ring::Ticketer::new().expect("the system's generator answers");
        Arc::new(config)
    }
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// Serves the cluster's hosts. A hello without SNI, or for `localhost`, gets the certificate, too:
/// the session is then told in words why it is refused.
#[derive(Debug)]
struct HostCertificate {
    hosts: Hosts,
    certificate: Arc<CertifiedKey>,
}

impl ResolvesServerCert for HostCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello
            .server_name()
            .is_none_or(|name| self.hosts.answers_to(name) || Hosts::is_no_endpoint(name))
            .then(|| self.certificate.clone())
    }
}

/// The protocol that direct TLS must name.
pub(crate) const ALPN: &[u8] = b"postgresql";
