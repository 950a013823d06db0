//! What is wrong with a setting.

use std::fmt;

/// A setting that is missing or cannot be right, with its value and the remedy. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The endpoint is not the host name of a cluster.
    #[error("endpoint {value:?} {problem}")]
    Endpoint {
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: EndpointProblem,
    },

    /// Two settings name different Regions.
    #[error(
        "{host:?} and the Region {region:?} contradict each other; leave the Region out, or name the one that the host names"
    )]
    Region {
        /// The host name, which has its Region in it.
        host: String,
        /// The other Region.
        region: String,
    },

    /// A variable of the environment is not set.
    #[error("the environment variable {variable} is not set; set it to {expected}")]
    Missing {
        /// The variable's name.
        variable: &'static str,
        /// What it should hold.
        expected: &'static str,
    },

    /// A setting has a value that it cannot have.
    #[error("{setting} is {value:?}; it must be {expected}")]
    Value {
        /// The setting's name: a variable of the environment, a parameter of a URL or a method of `Config`.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What it must be.
        expected: &'static str,
    },

    /// A setting that the service's sessions do not have.
    #[error("the session setting {name:?} is not one that the service supports; it supports {}", known.join(", "))]
    Setting {
        /// What was given.
        name: String,
        /// The settings that there are.
        known: &'static [&'static str],
    },

    /// A connection URL that is none, or says what this crate does not do.
    #[error("connection URL: {problem}; write postgres://USER@ENDPOINT:5432/postgres")]
    Url {
        /// What is wrong with it. The URL itself is not repeated: it may hold a password.
        problem: String,
    },

    /// The certificates that the server is verified against cannot be read.
    #[error(
        "{setting}: no root certificate could be read from {origin}: {problem}; give a PEM file of CA certificates"
    )]
    Certificates {
        /// The setting's name.
        setting: &'static str,
        /// The file's name, or what else was given.
        origin: String,
        /// What went wrong.
        problem: String,
    },

    /// The crate was built without a cryptography provider, and the caller gave no `ClientConfig`.
    #[error(
        "no TLS provider: enable the feature `ring` or `aws-lc-rs` of dsql-conn, or pass a rustls ClientConfig"
    )]
    NoTlsProvider,
}

impl ConfigError {
    /// A setting that came as text and cannot be right.
    pub(crate) fn value(setting: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Value {
            setting,
            value: repeatable(value),
            expected,
        }
    }
}

/// Returns what an error may repeat of what was given: what looks like a URL may have a password in it.
pub(crate) fn repeatable(value: &str) -> String {
    match value.contains(['@', '?', '=']) {
        true => "(not repeated)".to_owned(),
        false => value.to_owned(),
    }
}

/// What keeps a string from being a cluster's endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointProblem {
    /// Nothing was given.
    Empty,
    /// It has blanks or line ends around it.
    Whitespace,
    /// It is a URL.
    Scheme,
    /// It has a path, a query or a user in it.
    NotAHost,
    /// It has a port in it.
    Port,
    /// It ends with a dot.
    TrailingDot,
    /// It has upper-case letters, which the signature would not match.
    UpperCase,
    /// The cluster ID in front has another length than 26, or other characters than `a-z` and `0-9`.
    ClusterId {
        /// How many characters were given.
        length: usize,
    },
    /// The Region is not one by its form.
    Region,
    /// It is a cluster ID alone.
    RegionMissing,
    /// It is the name of an interface VPC endpoint, which says nothing of the cluster.
    ClusterMissing,
    /// It should be the name of an interface VPC endpoint and is not.
    Interface,
    /// It has none of the forms that the service uses.
    Form,
}

impl fmt::Display for EndpointProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self {
            Self::Empty => "is empty",
            Self::Whitespace => "has blanks around it: remove them",
            Self::Scheme => "is a URL: leave out the scheme",
            Self::NotAHost => "has more than a host name in it: leave out path, query and user",
            Self::Port => "has a port in it: give the port by itself",
            Self::TrailingDot => "ends with a dot: leave it out",
            Self::UpperCase => "has upper-case letters: write it in lower case",
            Self::ClusterId { length } => {
                return write!(
                    f,
                    "starts with a cluster ID of {length} characters: it must be 26 of a-z and 0-9{EXPECTED}"
                );
            }
            Self::RegionMissing => {
                "is a cluster ID: name its Region, too, or give the whole host name"
            }
            Self::ClusterMissing => {
                "is an interface endpoint, which does not say which cluster is meant: give the cluster's own host, and this name \
                 as what to dial (Endpoint::via, DSQL_VPC_ENDPOINT)"
            }
            Self::Interface => {
                return f.write_str(
                    "is not an interface endpoint's name; expected vpce-<id>.dsql-<suffix>.<region>.vpce.amazonaws.com",
                );
            }
            Self::Region => "does not name a Region such as us-east-1",
            Self::Form => "is not a cluster's host name",
        };
        write!(f, "{problem}{EXPECTED}")
    }
}

const EXPECTED: &str = "; expected <26 characters>.dsql.<region>.on.aws";
