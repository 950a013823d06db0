//! Parses settings from text.

use std::str::FromStr;
use std::time::Duration;

use tokio_postgres::config::SslNegotiation;

use super::StatementSpans;
use crate::error::ConfigError;

/// Parses one setting from text.
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

/// Parses the mode of statement spans.
pub(super) fn statement_spans(
    setting: &'static str,
    value: &str,
) -> Result<StatementSpans, ConfigError> {
    match value {
        "off" => Ok(StatementSpans::Off),
        "summary" => Ok(StatementSpans::WithSummary),
        "text" => Ok(StatementSpans::WithText),
        _ => Err(ConfigError::value(setting, value, "off, summary or text")),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn seconds_are_read_as_they_were_written(millis in 1..=u64::from(u32::MAX)) {
            let written = format!("{}.{:03}", millis / 1000, millis % 1000);
            let read = seconds("x", &written).unwrap();
            prop_assert!(read.abs_diff(Duration::from_millis(millis)) < Duration::from_micros(1));
        }

        #[test]
        fn only_a_positive_finite_time_is_accepted(
            text in "[-+]?[0-9]{0,3}([.][0-9]{0,10})?(e-?[0-9]{1,3})?|inf|nan|.{0,9}",
        ) {
            let parsed = text.parse::<f64>();
            match seconds("x", &text) {
                Ok(read) => prop_assert!(!read.is_zero() && parsed.unwrap() > 0.0),
                Err(error) => {
                    let times = 1e-9..Duration::MAX.as_secs_f64();
                    let is_time = parsed.is_ok_and(|seconds| times.contains(&seconds));
                    prop_assert!(!is_time, "{error}");
                }
            }
        }
    }
}
