//! The verification of the server's certificate.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslNegotiation;

use super::Config;
use super::identity::ByIdentity;
use crate::endpoint::repeatable;
use crate::error::ConfigError;

/// How the server's certificate is verified.
#[derive(Clone)]
pub(crate) enum Trust {
    /// The roots compiled into this crate.
    BuiltIn,
    /// These certification authorities and no others.
    Roots(Arc<RootCertStore>),
    /// The caller's own configuration.
    Caller(ByIdentity<ClientConfig>),
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::BuiltIn, Self::BuiltIn) => true,
            (Self::Roots(one), Self::Roots(other)) => one.roots == other.roots,
            (Self::Caller(one), Self::Caller(other)) => one == other,
            _ => false,
        }
    }
}

impl Config {
    /// Trusts server certificates of these certification authorities, and of no others. Defaults to
    /// the roots of the `webpki-roots` crate, which include Amazon's.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Certificates`] if one of them cannot be read as a root certificate, or there
    /// is none.
    pub fn root_certificates(
        self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, ConfigError> {
        self.roots("root_certificates", "the certificates", roots)
    }

    /// Trusts the certification authorities in this PEM text, and no others. Defaults to the roots
    /// of the `webpki-roots` crate.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Certificates`] if the text is not PEM, holds no certificate, or holds one
    /// that cannot be read as a root certificate.
    pub fn root_certificates_pem(self, pem: &[u8]) -> Result<Self, ConfigError> {
        self.roots_pem("root_certificates_pem", "the text", pem)
    }

    /// Uses this TLS configuration as it is, with the ALPN protocol `postgresql` if it names none.
    /// Defaults to one that verifies the server against the roots.
    ///
    /// The caller is responsible for verifying the server.
    #[must_use]
    pub fn tls_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.trust = Trust::Caller(ByIdentity(config));
        self
    }

    /// Sets whether the client starts TLS with its first byte or asks the server first. Defaults to
    /// [`SslNegotiation::Direct`], which saves a round trip.
    ///
    /// Either way the connection is encrypted and verified, or fails.
    #[must_use]
    pub fn ssl_negotiation(mut self, negotiation: SslNegotiation) -> Self {
        self.negotiation = negotiation;
        self
    }

    /// Trusts the certification authorities in a PEM file. `system` is libpq's name for roots
    /// without a file, and means the built-in ones here.
    pub(super) fn root_certificates_file(
        mut self,
        setting: &'static str,
        path: &str,
    ) -> Result<Self, ConfigError> {
        if path == "system" {
            self.trust = Trust::BuiltIn;
            return Ok(self);
        }
        let pem = File::open(path)
            .and_then(read)
            .map_err(|error| ConfigError::Certificates {
                setting,
                origin: repeatable(path),
                io: Some(error.kind()),
                problem: error.to_string(),
            })?;
        self.roots_pem(setting, path, &pem)
    }

    fn roots_pem(
        self,
        setting: &'static str,
        origin: &str,
        pem: &[u8],
    ) -> Result<Self, ConfigError> {
        // Read the whole text or nothing: with part of a bundle, some of its authorities would not
        // be trusted.
        let roots = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| unreadable(setting, origin, error))?;
        self.roots(setting, origin, roots)
    }

    fn roots(
        mut self,
        setting: &'static str,
        origin: &str,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, ConfigError> {
        let mut roots = RootCertStore::empty();
        for (number, certificate) in (1..).zip(certificates) {
            roots.add(certificate).map_err(|error| {
                let problem = format!("certificate {number} is not a root certificate: {error}");
                unreadable(setting, origin, problem)
            })?;
        }
        if roots.is_empty() {
            return Err(unreadable(setting, origin, "there is no certificate"));
        }
        self.trust = Trust::Roots(Arc::new(roots));
        Ok(self)
    }
}

fn unreadable(setting: &'static str, origin: &str, problem: impl ToString) -> ConfigError {
    ConfigError::Certificates {
        setting,
        origin: repeatable(origin),
        problem: problem.to_string(),
        io: None,
    }
}

/// Reads a file up to a limit: the path may name the wrong file, or an endless one.
fn read(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST_FILE {
        true => Err(io::Error::other("it is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// Twenty times the size of all the authorities that browsers trust.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{kept, mistaken, walk};

    fn config() -> Config {
        let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
        Config::new(endpoint.parse().unwrap())
    }

    /// The number of authorities that are read from this text.
    fn read_pem(pem: &[u8]) -> Result<usize, ConfigError> {
        match config().root_certificates_pem(pem)?.trust {
            Trust::Roots(roots) => Ok(roots.len()),
            _ => panic!("other roots"),
        }
    }

    #[test]
    fn a_bad_root_certificate_is_refused_by_its_setter() {
        let bad = CertificateDer::from(vec![0x30, 0x01, 0x00]);
        let error = config().root_certificates([bad]).err().unwrap();
        assert!(matches!(error, ConfigError::Certificates { .. }), "{error}");
        assert!(error.to_string().contains("certificate 1"), "{error}");
        assert!(config().root_certificates([]).is_err());
    }

    #[test]
    fn a_text_without_certificates_is_refused() {
        for pem in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let error = read_pem(pem.as_bytes()).unwrap_err();
            assert!(matches!(error, ConfigError::Certificates { .. }), "{error}");
        }
    }

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_as = |size| {
            file.as_file().set_len(size).unwrap();
            let path = file.path().to_str().unwrap();
            let read = config().root_certificates_file("DSQL_CA_FILE", path);
            read.err().unwrap().to_string()
        };
        assert!(read_as(LARGEST_FILE).contains("no certificate"));
        assert!(read_as(LARGEST_FILE + 1).contains("larger"));
        assert!(read(Endless { read: 0 }).is_err());
    }

    /// A file without an end, like `/dev/zero`. It panics if too much is read.
    struct Endless {
        read: u64,
    }

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.read += buffer.len() as u64;
            assert!(self.read < 4 * LARGEST_FILE, "it is read for ever");
            buffer.fill(0);
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_bundle_is_read_whole_or_not_at_all() {
        let kept = kept("pem");
        let (_, bundle) = kept.iter().find(|(name, _)| name == "bundle.pem").unwrap();
        let bundle = str::from_utf8(bundle).unwrap();
        for end in 0..=bundle.len() {
            let beginning = &bundle[..end];
            let begun = beginning.matches("-----BEGIN CERTIFICATE-----\n").count();
            let whole = beginning.matches("-----END CERTIFICATE-----").count();
            let rest = beginning
                .rsplit("-----END CERTIFICATE-----")
                .next()
                .unwrap();
            match read_pem(beginning.as_bytes()) {
                Ok(read) => assert_eq!([read; 2], [begun, whole], "of {end} bytes"),
                Err(error) => assert!(whole == 0 || !rest.trim().is_empty(), "{error}"),
            }
        }
    }

    #[test]
    fn corpus_texts_are_read_with_any_mistake() {
        walk("pem", |pem| drop(read_pem(pem)));
    }

    proptest! {
        #[test]
        fn no_mistakes_panic(pem in mistaken("pem")) {
            let _ = read_pem(&pem);
        }
    }
}
