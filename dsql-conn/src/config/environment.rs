//! Reads a [`Config`] from the environment variables, such as those of a Lambda function.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::env;
use std::env::VarError;
use std::num::NonZeroU16;
use std::time::Duration;

use super::application_name::FUNCTION_NAME;
use super::parse::{parse, seconds, ssl_negotiation, statement_spans};
use super::{Config, Peer, PoolVariables};
use crate::credentials::{HalfAKey, access_key};
use crate::endpoint::{Endpoint, EndpointProblem};
use crate::error::ConfigError;
use crate::tls::has_tls_provider;

impl Config {
    /// Reads the settings from the environment.
    ///
    /// | variable | setting | default |
    /// |---|---|---|
    /// | `DSQL_ENDPOINT` | the cluster's host name, or its ID | required |
    /// | `DSQL_REGION` | the Region of a cluster ID | `AWS_REGION`, `AWS_DEFAULT_REGION` |
    /// | `DSQL_VPC_ENDPOINT` | [`Endpoint::via`] | none |
    /// | `DSQL_USER` | [`user`](Self::user) | `admin` |
    /// | `DSQL_DATABASE` | [`database`](Self::database) | `postgres` |
    /// | `DSQL_SEARCH_PATH` | [`search_path`](Self::search_path) | the server's |
    /// | `DSQL_APPLICATION_NAME` | [`application_name`](Self::application_name) | see below |
    /// | `DSQL_SSLNEGOTIATION` | [`ssl_negotiation`](Self::ssl_negotiation) | `direct` |
    /// | `DSQL_HOSTADDR` | [`address`](Self::address) | looked up |
    /// | `DSQL_PORT` | [`port`](Self::port) | 5432 |
    /// | `DSQL_PEER_ENDPOINT` | the host name in the other Region: [`peer`](Self::peer) | none |
    /// | `DSQL_PEER_HOSTADDR` | [`Peer::address`] | looked up |
    /// | `DSQL_PEER_PORT` | [`Peer::port`] | `DSQL_PORT` |
    /// | `DSQL_FAILOVER_AFTER_SECONDS` | [`failover_after`](Self::failover_after) | 1 |
    /// | `DSQL_CA_FILE` | a PEM file of root certificates, or `system` for the default | built in |
    /// | `DSQL_CONNECT_TIMEOUT_SECONDS` | [`connect_timeout`](Self::connect_timeout) | 10 |
    /// | `DSQL_STATEMENT_TIMEOUT_SECONDS` | [`statement_timeout`](Self::statement_timeout) | none |
    /// | `DSQL_STATEMENT_SPANS` | [`statement_spans`](Self::statement_spans) | `off` |
    /// | `DSQL_MAX_LIFETIME_SECONDS` | [`max_lifetime`](Self::max_lifetime) | 3300 |
    ///
    /// A [`Pool`](crate::Pool) of this configuration starts from these, over the defaults of
    /// [`Pool::builder`](crate::Pool::builder) and [`Pool::lambda`](crate::Pool::lambda). bb8 and
    /// deadpool have settings of their own.
    ///
    /// | variable | setting of the pool |
    /// |---|---|
    /// | `DSQL_POOL_MAX_SIZE` | [`max_size`](crate::Builder::max_size), from 1 |
    /// | `DSQL_POOL_MIN_IDLE` | [`min_idle`](crate::Builder::min_idle) |
    /// | `DSQL_IDLE_TIMEOUT_SECONDS` | [`idle_timeout`](crate::Builder::idle_timeout) |
    /// | `DSQL_CHECKOUT_TIMEOUT_SECONDS` | [`checkout_timeout`](crate::Builder::checkout_timeout) |
    /// | `DSQL_PING_AFTER_SECONDS` | [`ping_after`](crate::Builder::ping_after) |
    /// | `DSQL_PING_TIMEOUT_SECONDS` | [`ping_timeout`](crate::Builder::ping_timeout) |
    ///
    /// An empty variable counts as not set, except `DSQL_ENDPOINT`, for which that is an error.
    /// Seconds may have a fraction. If `DSQL_ENDPOINT` is a host name, `DSQL_REGION` must be the
    /// Region in it. `DSQL_SSLNEGOTIATION` is `direct` or `postgres`. The AWS credentials are read
    /// later, when a token is signed. Sessions are named after the Lambda function
    /// (`AWS_LAMBDA_FUNCTION_NAME`), or else after this program, unless `DSQL_APPLICATION_NAME` is
    /// set. `DSQL_STATEMENT_SPANS` is `off`, `summary` or `text`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Missing`] or [`ConfigError::Empty`] without an endpoint;
    /// [`ConfigError::NoTlsProvider`] if this crate was built without a TLS provider and the
    /// process has no default one; otherwise the variant for the variable that is wrong.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(Self::text)
    }

    /// Reads the settings from variables like those of [`from_env`](Self::from_env), without the
    /// process's environment. Other variables are ignored.
    ///
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` are read, too: they
    /// become the [`credentials`](Self::credentials). Without them, the credentials are those of
    /// [`from_env`](Self::from_env).
    ///
    /// A test makes a configuration for a local cluster in one call:
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use dsql_conn::Config;
    /// use dsql_local::LocalCluster;
    ///
    /// let cluster = LocalCluster::start().await?;
    /// let config = Config::from_variables(cluster.variables())?;
    /// # let _ = config;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`from_env`](Self::from_env); [`ConfigError::Missing`] if only one half of the
    /// access key is set.
    pub fn from_variables<N, V>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, ConfigError>
    where
        N: Into<String>,
        V: Into<String>,
    {
        let variables: HashMap<String, String> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let config = Self::read(|name| Ok(variables.get(name).cloned()))?;
        match access_key(|name| variables.get(name).cloned()) {
            Ok(Some(credentials)) => Ok(config.credentials(credentials)),
            Ok(None) => Ok(config),
            Err(HalfAKey { missing }) => Err(ConfigError::Missing {
                variable: missing,
                expected: "the other half of the access key",
            }),
        }
    }

    /// Reads a variable of the environment, which may be empty.
    fn text(name: &'static str) -> Result<Option<String>, ConfigError> {
        match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(value)) => Err(ConfigError::value(
                name,
                &value.to_string_lossy(),
                "UTF-8 text",
            )),
        }
    }

    /// Reads the settings through `variable`, so that tests need not change the process's
    /// environment.
    fn read(
        variable: impl Fn(&'static str) -> Result<Option<String>, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let text = variable;
        let variable = |name| text(name).map(|value| value.filter(|value| !value.is_empty()));

        let name = match text(ENDPOINT)? {
            Some(name) if name.is_empty() => Err(ConfigError::Empty {
                variable: ENDPOINT,
                expected: HOST_NAME,
            }),
            Some(name) => Ok(name),
            None => Err(ConfigError::Missing {
                variable: ENDPOINT,
                expected: HOST_NAME,
            }),
        }?;
        has_tls_provider()?;
        let mut endpoint = match (variable("DSQL_REGION")?, name.parse::<Endpoint>()) {
            (Some(region), _) => Endpoint::in_region(&name, &region)?,
            // The Region of this process need not be the cluster's: it only replaces a missing one.
            (None, Err(error)) if *error.problem() == EndpointProblem::RegionMissing => {
                let ambient = match variable("AWS_REGION")? {
                    Some(region) => Some(region),
                    None => variable("AWS_DEFAULT_REGION")?,
                };
                let region = ambient.ok_or(ConfigError::Missing {
                    variable: "DSQL_REGION",
                    expected: "the Region of the cluster whose ID is in DSQL_ENDPOINT",
                })?;
                Endpoint::in_region(&name, &region)?
            }
            (None, parsed) => parsed?,
        };
        if let Some(interface) = variable("DSQL_VPC_ENDPOINT")? {
            endpoint = endpoint.via(&interface)?;
        }
        let mut config = Self::new(endpoint);
        if let Some(user) = variable("DSQL_USER")? {
            config = config.user(user);
        }
        if let Some(database) = variable("DSQL_DATABASE")? {
            config = config.database(database);
        }
        if let Some(search_path) = variable("DSQL_SEARCH_PATH")? {
            config = config.search_path(search_path);
        }
        if let Some(application_name) = variable("DSQL_APPLICATION_NAME")? {
            config = config.application_name(application_name);
        }
        config = config.named_after(variable(FUNCTION_NAME)?.as_deref());
        if let Some(spans) = variable("DSQL_STATEMENT_SPANS")? {
            config = config.statement_spans(statement_spans("DSQL_STATEMENT_SPANS", &spans)?);
        }
        let address = |name| match variable(name)? {
            Some(value) => parse(name, &value, "an IP address").map(Some),
            None => Ok(None),
        };
        let port = |name| match variable(name)? {
            Some(value) => parse(name, &value, "a port from 1 to 65535")
                .map(|port: NonZeroU16| Some(port.get())),
            None => Ok(None),
        };
        if let Some(address) = address("DSQL_HOSTADDR")? {
            config = config.address(address);
        }
        if let Some(port) = port("DSQL_PORT")? {
            config = config.port(port);
        }
        if let Some(negotiation) = variable("DSQL_SSLNEGOTIATION")? {
            config = config.ssl_negotiation(ssl_negotiation("DSQL_SSLNEGOTIATION", &negotiation)?);
        }
        if let Some(path) = variable("DSQL_CA_FILE")? {
            config = config.root_certificates_file("DSQL_CA_FILE", &path)?;
        }
        if let Some(endpoint) = variable("DSQL_PEER_ENDPOINT")? {
            let mut peer = Peer::new(endpoint.parse()?);
            if let Some(address) = address("DSQL_PEER_HOSTADDR")? {
                peer = peer.address(address);
            }
            if let Some(port) = port("DSQL_PEER_PORT")? {
                peer = peer.port(port);
            }
            config = config.peer(peer)?;
        }
        type Setter = fn(Config, Duration) -> Config;
        let durations: [(&str, Setter); 4] = [
            ("DSQL_FAILOVER_AFTER_SECONDS", Self::failover_after),
            ("DSQL_CONNECT_TIMEOUT_SECONDS", Self::connect_timeout),
            ("DSQL_STATEMENT_TIMEOUT_SECONDS", Self::statement_timeout),
            ("DSQL_MAX_LIFETIME_SECONDS", Self::max_lifetime),
        ];
        for (name, set) in durations {
            if let Some(value) = variable(name)? {
                config = set(config, seconds(name, &value)?);
            }
        }
        config.pool = PoolVariables::read(variable)?;
        Ok(config)
    }
}

const ENDPOINT: &str = "DSQL_ENDPOINT";

const HOST_NAME: &str = "the cluster's host name, <26 characters>.dsql.<region>.on.aws";
