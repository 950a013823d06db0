//! Shows the settings of a configuration.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use tokio::net::lookup_host;
use tokio_postgres::config::SslNegotiation;

use super::{ADMIN, Config, Source, Trust};

/// The settings of a [`Config`], to be shown. Contains no secret.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The database role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The address that replaces a lookup of the name.
    pub address: Option<IpAddr>,
    /// The TCP port.
    pub port: u16,
    /// The name of the session in the server's views.
    pub application_name: Option<String>,
    /// The names of the other settings of the session. Their values are not shown.
    pub settings: Vec<String>,
    /// Where the AWS credentials come from.
    pub credentials: String,
    /// The IAM action that a token is signed for: `dsql:DbConnectAdmin` or `dsql:DbConnect`.
    pub action: &'static str,
    /// How long a token can be used to log in.
    pub token_ttl: Duration,
    /// What verifies the server's certificate.
    pub trust: String,
    /// Whether TLS starts with the first byte, without a round trip to ask for it.
    pub direct_tls: bool,
    /// The deadline for opening one connection.
    pub connect_timeout: Duration,
    /// How long a statement may wait for its reply.
    pub statement_timeout: Option<Duration>,
    /// The age at which a connection is replaced.
    pub max_lifetime: Duration,
}

impl Config {
    /// Returns the settings, to be shown.
    ///
    /// ```
    /// use dsql_conn::Config;
    ///
    /// let config = Config::new("abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws".parse()?);
    /// assert_eq!(config.summary().action, "dsql:DbConnectAdmin");
    /// # Ok::<(), dsql_conn::ConfigError>(())
    /// ```
    pub fn summary(&self) -> Summary {
        Summary {
            user: self.user.clone(),
            database: self.database.clone(),
            address: self.address,
            port: self.port,
            application_name: self.application_name.clone(),
            settings: self
                .settings
                .iter()
                .map(|(name, _)| name.to_owned())
                .collect(),
            credentials: match &self.credentials {
                Source::Found => found(),
                #[cfg(feature = "aws-config")]
                Source::Profile(name) => format!("the profile {name:?}"),
                Source::Provider(_) => "the provider of the caller".to_owned(),
            },
            action: action(&self.user),
            token_ttl: self.token_ttl,
            trust: match &self.trust {
                Trust::BuiltIn => "the built-in roots".to_owned(),
                Trust::Roots(roots) => format!("the configured roots alone ({})", roots.len()),
                Trust::Caller(_) => "the TLS configuration of the caller".to_owned(),
            },
            direct_tls: self.negotiation == SslNegotiation::Direct,
            connect_timeout: self.connect_deadline(),
            statement_timeout: self.statement_timeout,
            max_lifetime: self.max_lifetime,
        }
    }

    /// Returns one configuration for each Region of the cluster, the home Region first. None of
    /// them has a [`peer`](Self::peer), so that each opens connections to its own Region alone.
    pub fn regions(&self) -> Vec<Self> {
        let home = Self {
            peer: None,
            ..self.clone()
        };
        std::iter::once(home).chain(self.at_peer()).collect()
    }

    /// Looks the endpoint's name up, as an opening does.
    ///
    /// # Errors
    ///
    /// The resolver's error.
    ///
    /// # Cancel safety
    ///
    /// May be dropped.
    pub async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        if let Some(address) = self.address {
            return Ok(vec![(address, self.port).into()]);
        }
        let host = self.endpoint.dialed();
        match &self.resolver {
            Some(resolve) => resolve(host.to_owned(), self.port).await,
            None => Ok(lookup_host((host, self.port)).await?.collect()),
        }
    }

    /// Returns the time by the clock of this configuration.
    pub fn time(&self) -> SystemTime {
        self.now()
    }
}

/// Returns the source of the credentials if the caller configured none.
fn found() -> String {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("AWS_ACCESS_KEY_ID") || is_set("AWS_SECRET_ACCESS_KEY") {
        return "the environment (AWS_ACCESS_KEY_ID)".to_owned();
    }
    match cfg!(feature = "aws-config") {
        true => "the SDK's default chain".to_owned(),
        false => "the environment alone".to_owned(),
    }
}

/// Returns the IAM action that connecting as this user needs.
fn action(user: &str) -> &'static str {
    match user {
        ADMIN => "dsql:DbConnectAdmin",
        _ => "dsql:DbConnect",
    }
}
