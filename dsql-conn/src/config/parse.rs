//! Reads settings that come as text or as files.

use std::{
    fs::File,
    io::{self, Read},
    str::FromStr,
    time::Duration,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_postgres::config::SslNegotiation;

use crate::error::{ConfigError, repeatable};

/// Reads the certificates in a PEM text.
pub(super) fn certificates(
    setting: &'static str,
    origin: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let unreadable = |problem: String| ConfigError::Certificates {
        setting,
        origin: repeatable(origin),
        problem,
    };
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(error.to_string()))?;
    match certificates.is_empty() {
        true => Err(unreadable("it holds no certificate".to_owned())),
        false => Ok(certificates),
    }
}

/// Reads a PEM file of certification authorities.
pub(super) fn certificates_of_file(
    setting: &'static str,
    path: &str,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let pem = File::open(path)
        .and_then(read)
        .map_err(|error| ConfigError::Certificates {
            setting,
            origin: repeatable(path),
            problem: error.to_string(),
        })?;
    certificates(setting, path, &pem)
}

/// Reads a file, unless it is so large that it is another one than was meant, or has no end.
fn read(file: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST_FILE {
        true => Err(io::Error::other("it is larger than 4 MiB")),
        false => Ok(bytes),
    }
}

/// Parses one setting that came as text.
pub(crate) fn parse<T: FromStr>(
    setting: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, ConfigError> {
    let wrong = |_| ConfigError::value(setting, value, expected);
    value.parse().map_err(wrong)
}

/// Parses libpq's names for the two ways to start TLS.
pub(super) fn ssl_negotiation(
    setting: &'static str,
    value: &str,
) -> Result<SslNegotiation, ConfigError> {
    match value {
        "direct" => Ok(SslNegotiation::Direct),
        "postgres" => Ok(SslNegotiation::Postgres),
        _ => Err(ConfigError::value(setting, value, "direct or postgres")),
    }
}

/// Parses a positive number of seconds, whole or with a fraction.
pub(crate) fn seconds(setting: &'static str, value: &str) -> Result<Duration, ConfigError> {
    const EXPECTED: &str = "a number of seconds greater than 0";
    let seconds: f64 = parse(setting, value, EXPECTED)?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(ConfigError::value(setting, value, EXPECTED)),
    }
}

/// Twenty times all the authorities that browsers trust.
const LARGEST_FILE: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::Trust,
        corpus::{kept, mistaken, walk},
        tls::client_config,
    };

    #[test]
    fn a_file_without_an_end_is_not_read_to_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read_as = |size| {
            file.as_file().set_len(size).unwrap();
            let read = certificates_of_file("DSQL_CA_FILE", file.path().to_str().unwrap());
            read.unwrap_err().to_string()
        };
        assert!(read_as(LARGEST_FILE).contains("no certificate"));
        assert!(read_as(LARGEST_FILE + 1).contains("larger"));
        assert!(read(Endless { read: 0 }).is_err());
    }

    /// A file that goes on, as `/dev/zero` does, and notices who reads on.
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

    /// What is left of a bundle that was cut short would trust some of its authorities and not others.
    #[test]
    fn a_bundle_is_read_whole_or_not_at_all() {
        let kept = kept("pem");
        let (_, bundle) = kept.iter().find(|(name, _)| name == "bundle.pem").unwrap();
        let bundle = str::from_utf8(bundle).unwrap();
        for end in 0..=bundle.len() {
            let beginning = &bundle[..end];
            let begun = beginning.matches("-----BEGIN CERTIFICATE-----\n").count();
            let whole = beginning.matches("-----END CERTIFICATE-----").count();
            let read = certificates("sslrootcert", "x", beginning.as_bytes());
            let rest = beginning
                .rsplit("-----END CERTIFICATE-----")
                .next()
                .unwrap();
            match read {
                Ok(read) => assert_eq!([read.len(); 2], [begun, whole], "of {end} bytes"),
                Err(error) => assert!(whole == 0 || !rest.trim().is_empty(), "{error}"),
            }
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("pem", read_pem);
    }

    /// Checks that no more is made of a text than there is of it, and that no certificate makes TLS panic.
    fn read_pem(pem: &[u8]) {
        let Ok(certificates) = certificates("sslrootcert", "x", pem) else {
            return;
        };
        let length = certificates
            .iter()
            .map(|certificate| certificate.len())
            .sum::<usize>();
        assert!(length <= pem.len() * 3 / 4);
        let is_one = |certificate: &CertificateDer<'_>| certificate.first() == Some(&0x30);
        let all_are = certificates.iter().all(is_one);
        assert!(client_config(&Trust::Roots(certificates)).is_err() || all_are);
    }

    proptest! {
        #[test]
        fn no_mistakes_panic(pem in mistaken("pem")) {
            read_pem(&pem);
        }

        #[test]
        fn seconds_are_read_as_they_were_written(millis in 1..=u64::from(u32::MAX)) {
            let written = format!("{}.{:03}", millis / 1000, millis % 1000);
            let read = seconds("x", &written).unwrap();
            prop_assert!(read.abs_diff(Duration::from_millis(millis)) < Duration::from_micros(1));
        }

        #[test]
        fn only_what_is_a_time_to_wait_is_read(text in "[-+]?[0-9]{0,3}([.][0-9]{0,10})?(e-?[0-9]{1,3})?|inf|nan|.{0,9}") {
            match seconds("x", &text) {
                Ok(read) => prop_assert!(!read.is_zero() && text.parse::<f64>().unwrap() > 0.0),
                Err(error) => {
                    let too_much = Duration::MAX.as_secs_f64();
                    let is_time = text.parse::<f64>().is_ok_and(|seconds| (1e-9..too_much).contains(&seconds));
                    prop_assert!(!is_time, "{error}");
                }
            }
        }
    }
}
