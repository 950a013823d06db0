//! The arguments of the program, and the configuration that follows from them.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use dsql_conn::{Config, ConfigError, Endpoint, Peer};
use dsql_doctor::Doctor;

/// Checks a connection to Aurora DSQL step by step: which step fails, why, and what to do.
///
/// Without an endpoint, the settings come from the environment (DSQL_ENDPOINT, DSQL_USER, ..), as
/// Config::from_env of dsql-conn reads them. AWS credentials come from the environment, else from
/// the SDK's default chain.
///
/// Exit codes: 0 all is well, 1 another cause, 2 settings, 3 credentials, 4 clock, 5 network,
/// 6 TLS, 7 access, 8 busy, 9 session. With --watch, that of the last examination.
#[derive(Debug, Parser)]
#[command(name = "dsql-doctor", version)]
pub(crate) struct Arguments {
    /// The cluster's endpoint, a cluster ID with --region, or a postgres:// URL.
    pub(crate) endpoint: Option<String>,

    /// The Region of a cluster ID.
    #[arg(long)]
    region: Option<String>,

    /// The database role. Defaults to admin.
    #[arg(long)]
    user: Option<String>,

    /// The database. A cluster has postgres alone.
    #[arg(long)]
    database: Option<String>,

    /// An IP address to connect to, instead of looking the endpoint up.
    #[arg(long)]
    hostaddr: Option<IpAddr>,

    /// The TCP port. Defaults to 5432.
    #[arg(long)]
    port: Option<u16>,

    /// The name of an interface VPC endpoint to dial.
    #[arg(long)]
    vpc_endpoint: Option<String>,

    /// The endpoint in the other Region of a multi-Region cluster.
    #[arg(long)]
    peer: Option<String>,

    /// A PEM file of root certificates to trust, and no others.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// A profile of the shared AWS configuration files.
    #[cfg(feature = "aws-config")]
    #[arg(long)]
    profile: Option<String>,

    /// The most seconds for each step, and for the login with its retries. Defaults to 10.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,

    /// A table that must exist and be readable, such as one of migrations. May be repeated.
    #[arg(long, value_name = "TABLE")]
    table: Vec<String>,

    /// The outcome table of dsql-conn.
    #[arg(long, value_name = "TABLE")]
    outcomes: Option<String>,

    /// Prints JSON instead of text. With --watch, one line for each examination.
    #[arg(long)]
    pub(crate) json: bool,

    /// Examines again and again, this many seconds apart, and shows percentiles at the end.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5",
          value_parser = seconds)]
    pub(crate) watch: Option<Duration>,

    /// Ends --watch after this many examinations. Defaults to Ctrl-C.
    #[arg(long, requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: Option<u32>,

    /// When to use colours.
    #[arg(long, default_value = "auto")]
    pub(crate) color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    Always,
    Never,
}

impl Color {
    pub(crate) fn write_global(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

impl Arguments {
    pub(crate) fn doctor(&self) -> Doctor {
        let mut doctor = Doctor::with_settings(self.config()).given(self.origin());
        for table in &self.table {
            doctor = doctor.table(table);
        }
        match &self.outcomes {
            Some(table) => doctor.outcomes(table),
            None => doctor,
        }
    }

    /// Where the endpoint and its Region come from. A URL is not repeated, because it may contain a
    /// password.
    fn origin(&self) -> String {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let (endpoint, text) = match &self.endpoint {
            Some(text) if text.contains(['@', '?', '=', '/']) => ("a URL in the arguments", "."),
            Some(text) => ("the arguments", text.as_str()),
            None => ("DSQL_ENDPOINT", "."),
        };
        let text = match self.endpoint {
            Some(_) => text.to_owned(),
            None => std::env::var("DSQL_ENDPOINT").unwrap_or_default(),
        };
        let region = match (text.contains('.'), &self.region) {
            (true, _) => "the host name",
            (false, Some(_)) => "the arguments",
            (false, None) if is_set("DSQL_REGION") => "DSQL_REGION",
            (false, None) if is_set("AWS_REGION") => "AWS_REGION",
            (false, None) if is_set("AWS_DEFAULT_REGION") => "AWS_DEFAULT_REGION",
            (false, None) => "nowhere",
        };
        format!("endpoint from {endpoint}, Region from {region}")
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.endpoint {
            Some(url) if url.contains("://") && !url.starts_with("http") => url.parse()?,
            Some(name) => {
                let endpoint = match &self.region {
                    Some(region) => Endpoint::in_region(name, region)?,
                    None => name.parse()?,
                };
                Config::new(match &self.vpc_endpoint {
                    Some(interface) => endpoint.via(interface)?,
                    None => endpoint,
                })
            }
            None => Config::from_env()?,
        };
        if let Some(user) = &self.user {
            config = config.user(user);
        }
        if let Some(database) = &self.database {
            config = config.database(database);
        }
        if let Some(address) = self.hostaddr {
            config = config.address(address);
        }
        if let Some(port) = self.port {
            config = config.port(port);
        }
        if let Some(peer) = &self.peer {
            config = config.peer(Peer::new(peer.parse()?))?;
        }
        if let Some(path) = &self.ca_file {
            let pem = fs::read(path).map_err(|error| ConfigError::Certificates {
                setting: "--ca-file",
                origin: path.display().to_string(),
                problem: error.to_string(),
                io: Some(error.kind()),
            })?;
            config = config.root_certificates_pem(&pem)?;
        }
        #[cfg(feature = "aws-config")]
        if let Some(profile) = &self.profile {
            config = config.profile(profile);
        }
        if let Some(timeout) = self.timeout {
            config = config.connect_timeout(timeout);
        }
        Ok(config)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a time greater than 0".to_owned()),
    }
}
