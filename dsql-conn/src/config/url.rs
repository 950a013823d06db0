//! Reads a [`Config`] from a `postgres://` URL.

use std::{borrow::Cow, str::FromStr};

use percent_encoding::percent_decode_str;
use url::Url;

use super::{
    Config,
    parse::{certificates_of_file, parse, seconds, ssl_negotiation},
};
use crate::{endpoint::Endpoint, error::ConfigError};

/// Reads `postgres://USER@ENDPOINT:PORT/DATABASE?parameters`, or the same with `postgresql://`.
///
/// User, port and database may be left out. The parameters are libpq's where there is one of that name: `application_name`,
/// `connect_timeout` (seconds), `hostaddr`, `sslmode`, `sslnegotiation`, `sslrootcert` (a PEM file); `region`, which a cluster
/// ID in place of the host name needs; and the names that [`Config::setting`] takes, such as `search_path`.
///
/// Every accepted `sslmode` (`require`, `verify-ca`, `verify-full`) verifies fully; weaker ones are refused, and so is a
/// password, because the password is a token that this crate signs, and so is a parameter that this crate does not know.
impl FromStr for Config {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        if text.trim().contains(['\t', '\n', '\r']) {
            return Err(problem(
                "it has a tab or a line end in it; write %09 or %0A if that belongs to a name",
            ));
        }
        let url = Url::parse(text).map_err(|error| problem(error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(problem(format!(
                "its scheme is {:?}, not postgres or postgresql",
                url.scheme()
            )));
        }
        if url.password().is_some() {
            return Err(problem(
                "it holds a password; leave it out, tokens are signed from AWS credentials",
            ));
        }
        if url.fragment().is_some() {
            return Err(problem(
                "it has a fragment (#); write it as %23 if it belongs to a name",
            ));
        }

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
            "sslrootcert" => {
                Ok(self.root_certificates(certificates_of_file("sslrootcert", value)?))
            }
            "sslmode" => match value {
                "require" | "verify-ca" | "verify-full" => Ok(self),
                _ => Err(ConfigError::value(
                    "sslmode",
                    value,
                    "require, verify-ca or verify-full, which all verify the server fully: a token must not reach another",
                )),
            },
            "sslnegotiation" => Ok(self.ssl_negotiation(ssl_negotiation("sslnegotiation", value)?)),
            "password" => Err(problem(
                "it holds a password; leave it out, tokens are signed from AWS credentials",
            )),
            _ => self.setting(name, value),
        }
    }
}

/// Takes the parameters apart as libpq and the driver do, to whom a plus is a plus: a blank it is only in what a form sends.
fn parameters(
    url: &Url,
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), ConfigError>> {
    let query = url.query().unwrap_or_default();
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.map(|parameter| {
        // Not repeated: it may be a password with a slip of the finger before it.
        let (name, value) = parameter
            .split_once('=')
            .ok_or_else(|| problem("a parameter has no value; write name=value"))?;
        let name = decode("a parameter's name", name)?;
        Ok((name, decode("a parameter", value)?))
    })
}

fn decode<'a>(part: &str, text: &'a str) -> Result<Cow<'a, str>, ConfigError> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| problem(format!("{part} is not UTF-8 after percent-decoding")))
}

fn problem(problem: impl Into<String>) -> ConfigError {
    ConfigError::Url {
        problem: problem.into(),
    }
}

const REGION: &str = "region";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;
    use tokio_postgres::config::SslNegotiation;

    use super::*;
    use crate::corpus::{mistaken, walk};

    const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

    #[test]
    fn every_part_reaches_its_setting() {
        let config: Config = format!(
            "postgresql://game%20one@{HOST}:6432/other?sslmode=verify-full&sslnegotiation=direct&search_path=a%2C%20b\
             &application_name=api&connect_timeout=5&hostaddr=127.0.0.1"
        )
        .parse()
        .unwrap();
        assert_eq!(config.endpoint.host(), HOST);
        assert_eq!(config.user, "game one");
        assert_eq!(config.port, 6432);
        assert_eq!(config.database, "other");
        assert_eq!(config.settings["search_path"], "a, b");
        assert_eq!(config.application_name.as_deref(), Some("api"));
        assert_eq!(config.connect_deadline(), Duration::from_secs(5));
        assert_eq!(config.address, Some([127, 0, 0, 1].into()));
    }

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let config: Config = format!("postgres://{HOST}").parse().unwrap();
        assert_eq!(
            (&*config.user, &*config.database, config.port),
            ("admin", "postgres", 5432)
        );
    }

    #[test]
    fn a_cluster_id_may_stand_for_the_host_with_its_region() {
        let config: Config = format!("postgres://{}/?region=eu-west-1", &HOST[..26])
            .parse()
            .unwrap();
        assert_eq!(config.endpoint.region(), "eu-west-1");
        assert!(
            format!("postgres://{HOST}/?region=eu-west-1")
                .parse::<Config>()
                .is_err()
        );
    }

    #[test]
    fn what_would_be_ignored_or_weaker_is_refused() {
        for (url, named) in [
            (format!("mysql://{HOST}"), "mysql"),
            (format!("postgres://admin:hunter2@{HOST}"), "password"),
            (format!("postgres://{HOST}?password=hunter2"), "password"),
            (format!("postgres://{HOST}?sslmode=prefer"), "prefer"),
            (format!("postgres://{HOST}?sslmode=disable"), "disable"),
            (
                format!("postgres://{HOST}?statement_timeout=5"),
                "statement_timeout",
            ),
            (format!("postgres://{HOST}?connect_timeout=soon"), "soon"),
            ("postgres://localhost/postgres".to_owned(), "localhost"),
            ("not a url".to_owned(), "connection URL"),
        ] {
            let error = url.parse::<Config>().unwrap_err().to_string();
            assert!(error.contains(named), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_last_of_two_regions_counts() {
        let url = format!(
            "postgres://{}?region=eu-west-1&region=eu-west-2",
            &HOST[..26]
        );
        let config: Config = url.parse().unwrap();
        assert_eq!(config.endpoint.region(), "eu-west-2");
    }

    #[test]
    fn what_is_no_text_or_would_get_lost_is_refused() {
        for (rest, named) in [
            ("?application_name=%FF", "UTF-8"),
            ("?%FF=x", "UTF-8"),
            ("/%FF", "UTF-8"),
            ("?application_name=a\nb", "line end"),
            ("?application_name", "no value"),
            ("?password-hunter2", "no value"),
        ] {
            let url = format!("postgres://{HOST}{rest}");
            let error = url.parse::<Config>().unwrap_err().to_string();
            assert!(error.contains(named), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("url", |url| read(&String::from_utf8_lossy(url)));
    }

    /// Checks that no more is made of a URL than there is of it, and that a password in it is not repeated.
    fn read(url: &str) {
        match url.parse::<Config>() {
            Ok(config) => {
                let settings = config.settings.values().map(String::len).sum::<usize>();
                let application_name = config.application_name.as_deref().unwrap_or_default();
                assert!(settings + application_name.len() <= url.len());
                assert!(
                    ["admin", "postgres"].contains(&&*config.user)
                        || config.user.len() <= url.len()
                );
            }
            Err(error) => assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}"),
        }
    }

    /// Everything but a plus, which may be written as it is.
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'+');

    proptest! {
        /// The driver reads the same URLs, by a parser of its own.
        #[test]
        fn a_url_says_what_it_says_to_the_driver(
            user in "[^\0]{1,9}",
            database in "[^\0]{1,9}",
            application_name in "[^\0]{0,9}|[a+% ]{0,9}",
            port in any::<u16>(),
            seconds in 1..100_000_u64,
            hostaddr in any::<std::net::IpAddr>(),
            direct in any::<bool>(),
        ) {
            // A folder to URLs, however it is written.
            prop_assume!(database != "." && database != "..");
            let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
            let url = format!(
                "postgres://{}@{HOST}:{port}/{}?application_name={}&connect_timeout={seconds}&hostaddr={}&sslmode=require\
                 &sslnegotiation={}",
                encode(&user),
                encode(&database),
                encode(&application_name),
                encode(&hostaddr.to_string()),
                if direct { "direct" } else { "postgres" },
            );
            let ours: Config = url.parse().unwrap();
            let drivers: tokio_postgres::Config = url.parse().unwrap();
            prop_assert_eq!(drivers.get_hosts(), [tokio_postgres::config::Host::Tcp(ours.endpoint.host().to_owned())]);
            prop_assert_eq!(drivers.get_user(), Some(&*ours.user));
            prop_assert_eq!(drivers.get_dbname(), Some(&*ours.database));
            prop_assert_eq!(drivers.get_application_name(), ours.application_name.as_deref());
            prop_assert_eq!(drivers.get_ports(), [ours.port]);
            prop_assert_eq!(drivers.get_connect_timeout(), Some(&ours.connect_deadline()));
            prop_assert_eq!(drivers.get_hostaddrs(), [ours.address.unwrap()]);
            prop_assert_eq!(drivers.get_ssl_negotiation() == SslNegotiation::Direct, direct);
            prop_assert_eq!(ours.negotiation == SslNegotiation::Direct, direct);
            prop_assert_eq!((ours.user, ours.database), (user, database));
        }

        #[test]
        fn no_mistakes_panic(url in mistaken("url")) {
            let _ = String::from_utf8_lossy(&url).parse::<Config>();
        }

        #[test]
        fn no_string_panics(text in ".*") {
            let _ = text.parse::<Config>();
        }

        #[test]
        fn no_parameter_panics(name in ".*", value in ".*") {
            let _ = format!("postgres://{HOST}?{name}={value}").parse::<Config>();
        }
    }
}
