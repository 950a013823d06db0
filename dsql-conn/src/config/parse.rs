//! Reads settings that come as text or as files.

use std::{str::FromStr, time::Duration};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio_postgres::config::SslNegotiation;

use crate::error::ConfigError;

/// Reads the certificates in a PEM text.
pub(super) fn certificates(
    setting: &'static str,
    origin: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let unreadable = |problem: String| ConfigError::Certificates {
        setting,
        origin: origin.to_owned(),
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
    let pem = std::fs::read(path).map_err(|error| ConfigError::Certificates {
        setting,
        origin: path.to_owned(),
        problem: error.to_string(),
    })?;
    certificates(setting, path, &pem)
}

/// Parses one setting that came as text.
pub(super) fn parse<T: FromStr>(
    setting: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, ConfigError> {
    value.parse().map_err(|_| ConfigError::Value {
        setting,
        value: value.to_owned(),
        expected,
    })
}

/// Parses libpq's names for the two ways to start TLS.
pub(super) fn ssl_negotiation(
    setting: &'static str,
    value: &str,
) -> Result<SslNegotiation, ConfigError> {
    match value {
        "direct" => Ok(SslNegotiation::Direct),
        "postgres" => Ok(SslNegotiation::Postgres),
        _ => Err(ConfigError::Value {
            setting,
            value: value.to_owned(),
            expected: "direct or postgres",
        }),
    }
}

/// Parses a positive number of seconds, whole or with a fraction.
pub(super) fn seconds(setting: &'static str, value: &str) -> Result<Duration, ConfigError> {
    const EXPECTED: &str = "a number of seconds greater than 0";
    let seconds: f64 = parse(setting, value, EXPECTED)?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(ConfigError::Value {
            setting,
            value: value.to_owned(),
            expected: EXPECTED,
        }),
    }
}
