//! Reads a [`Config`] from a `postgres://` URL.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Config;
use super::parse::{parse, seconds, ssl_negotiation};
use crate::endpoint::{Endpoint, EndpointProblem};
use crate::error::ConfigError;
use crate::tls::has_tls_provider;

/// Reads `postgres://USER@ENDPOINT:PORT/DATABASE?parameters`, or the same with `postgresql://`.
///
/// User, port and database may be left out. Parameters are:
///
/// - of libpq: `application_name`, `connect_timeout` (seconds), `hostaddr`, `sslmode`,
///   `sslnegotiation`, and `sslrootcert` (a PEM file, or `system` for the built-in roots);
/// - `region`, which is required if a cluster ID stands in place of the host name;
/// - every other name is a [`Config::setting`] of the session, such as `search_path`.
///
/// Every accepted `sslmode` (`require`, `verify-ca`, `verify-full`) verifies the server fully, and
/// weaker ones are refused. A password is refused, because this crate signs a token as the
/// password. libpq's other parameters are refused, too, because they would have no effect here.
impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if text.trim().contains(['\t', '\n', '\r']) {
            return Err(remedied(
                "it contains a tab or a line end",
                "write %09 or %0A if that belongs to a name",
            ));
        }
        if !text.contains("://") {
            return Err(not_a_url(text));
        }
        let url = Url::parse(text).map_err(|error| problem(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(problem(format!(
                "its scheme is {:?}, not postgres or postgresql",
                url.scheme()
            )));
        }
        if url.password().is_some() {
            return Err(has_password());
        }
        if url.fragment().is_some() {
            return Err(remedied(
                "it has a fragment (#)",
                "write it as %23 if it belongs to a name",
            ));
        }

        has_tls_provider()?;
        let parameters = parameters(&url).collect::<Result<Vec<_>, _>>()?;
        let host = url.host_str().ok_or_else(|| problem("it names no host"))?;
        let host = decode("the host", host)?;
        let region = parameters.iter().rfind(|(name, _)| name == REGION);
        let mut config = Self::new(match region {
            Some((_, region)) => Endpoint::in_region(&host, region)?,
            None => host.parse()?,
        });
        if !url.username().is_empty() {
            config = config.user(decode("the user", url.username())?);
        }
        if let Some(port) = url.port() {
            if port == 0 {
                return Err(problem("its port is 0"));
            }
            config = config.port(port);
        }
        let database = decode(
            "the database",
            url.path().strip_prefix('/').unwrap_or_default(),
        )?;
        if !database.is_empty() {
            config = config.database(database);
        }

        for (name, value) in &parameters {
            config = config.url_parameter(name, value)?;
        }
        Ok(config)
    }
}

impl Config {
    fn url_parameter(self, name: &str, value: &str) -> Result<Self, ConfigError> {
        match name {
            "application_name" => Ok(self.application_name(value)),
            REGION => Ok(self),
            "connect_timeout" => Ok(self.connect_timeout(seconds("connect_timeout", value)?)),
            "hostaddr" => Ok(self.address(parse("hostaddr", value, "an IP address")?)),
            "sslrootcert" => self.root_certificates_file("sslrootcert", value),
            "sslmode" => match value {
                "require" | "verify-ca" | "verify-full" => Ok(self),
                _ => Err(ConfigError::value("sslmode", value, SSLMODES)),
            },
            "sslnegotiation" => Ok(self.ssl_negotiation(ssl_negotiation("sslnegotiation", value)?)),
            "password" => Err(has_password()),
            _ if LIBPQ.contains(&name) => Err(remedied(
                format!("the parameter {name} is libpq's alone"),
                "leave it out",
            )),
            _ => self.setting(name, value),
        }
    }
}

/// Splits the query as libpq and the driver do. `+` is literal: this is not form encoding.
fn parameters(
    url: &Url,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), ConfigError>> {
    let query = url.query().unwrap_or_default();
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.map(|parameter| {
        // The error does not repeat the text: it may be a mistyped password parameter.
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| remedied("a parameter has no value", "write name=value"))?;
        let name = decode("a parameter's name", name)?;
        Ok((name, decode("a parameter", value)?))
    })
}

fn decode<'a>(part: &str, text: &'a str) -> Result<Cow<'a, str>, ConfigError> {
    let decoded = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| problem(format!("{part} is not UTF-8 after percent-decoding")))?;
    match decoded.contains('\0') {
        true => Err(problem(format!("{part} contains NUL"))),
        false => Ok(decoded),
    }
}

/// Returns the error for a text without a scheme, which says what the text is if that is
/// recognized. The text may contain a password.
fn not_a_url(text: &str) -> ConfigError {
    match text.parse::<Endpoint>() {
        Ok(_) => problem("it is a host name alone"),
        Err(error) if *error.problem() == EndpointProblem::Arn => problem("it is an ARN"),
        Err(_) if text.contains('=') => {
            problem("it is a list of settings, such as host=.. user=.., not a URL")
        }
        Err(_) => problem("it has no scheme"),
    }
}

fn has_password() -> ConfigError {
    remedied(
        "it contains a password",
        "leave it out, tokens are signed from AWS credentials",
    )
}

fn problem(problem: impl Into<String>) -> ConfigError {
    ConfigError::Url {
        problem: problem.into(),
        remedy: None,
    }
}

fn remedied(problem: impl Into<String>, remedy: &'static str) -> ConfigError {
    ConfigError::Url {
        problem: problem.into(),
        remedy: Some(remedy),
    }
}

const REGION: &str = "region";

const SSLMODES: &str = "require, verify-ca or verify-full, which all verify the server fully: no \
                        other server may see a token";

/// Parameters of libpq that are not settings of the session: the server would not know them.
/// <https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS>.
const LIBPQ: &[&str] = &[
    "channel_binding",
    "client_encoding",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "options",
    "passfile",
    "port",
    "replication",
    "requirepeer",
    "requiressl",
    "require_auth",
    "service",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslpassword",
    "sslsni",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];
