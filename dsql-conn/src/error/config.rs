//! What is wrong with a setting.

use std::fmt;

use crate::endpoint::{EndpointError, repeatable};

/// A setting that is missing or cannot be right, with its value and the remedy. Contains no secret.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The endpoint is not the host name of a cluster, or contradicts the Region.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),

    /// A variable of the environment is not set.
    #[error("the environment variable {variable} is not set; set it to {expected}")]
    Missing {
        /// The variable's name.
        variable: &'static str,
        /// What it must hold.
        expected: &'static str,
    },

    /// A setting has a value that it cannot have.
    #[error("{setting} is {value:?}; it must be {expected}")]
    Value {
        /// The setting's name: an environment variable, a URL parameter or a method of
        /// [`Config`](crate::Config).
        setting: &'static str,
        /// The value that was given, unless it may contain a password.
        value: String,
        /// What it must be.
        expected: &'static str,
    },

    /// A setting of the session that cannot be sent.
    #[error("the session setting {name:?} cannot be sent: {problem}")]
    Setting {
        /// The name that was given, unless it may contain a password.
        name: String,
        /// What is wrong with the name or the value.
        problem: &'static str,
    },

    /// A connection URL that cannot be parsed, or asks for what this crate does not support.
    #[error("connection URL: {problem}; write postgres://USER@ENDPOINT:5432/postgres")]
    Url {
        /// What is wrong with it. The URL is not repeated, because it may contain a password.
        problem: String,
    },

    /// The root certificates cannot be read.
    #[error("{setting}: no root certificates in {origin}: {problem}; give CA certificates in PEM")]
    Certificates {
        /// The setting's name.
        setting: &'static str,
        /// The file's name, or what else was given.
        origin: String,
        /// What is wrong.
        problem: String,
    },

    /// The crate was built without a TLS provider, and the caller gave no
    /// [`ClientConfig`](rustls::ClientConfig).
    #[error(
        "no TLS provider: enable the feature `ring` or `aws-lc-rs` of dsql-conn, or pass a rustls \
         ClientConfig to Config::tls_config"
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

    /// A setting of the session that cannot be sent.
    pub(crate) fn setting(name: &str, problem: &'static str) -> Self {
        Self::Setting {
            name: repeatable(name),
            problem,
        }
    }
}

/// Like `Display`: a `main` that returns an error prints it by `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    #[test]
    fn debug_reads_like_display_and_nothing_is_said_twice() {
        let missing = ConfigError::Missing {
            variable: "DSQL_ENDPOINT",
            expected: "a host",
        };
        let endpoint = "localhost".parse::<Endpoint>().unwrap_err();
        assert_eq!(format!("{endpoint:?}"), endpoint.to_string());
        for error in [missing, endpoint.into()] {
            let display = error.to_string();
            assert_eq!(format!("{error:?}"), display);
            assert_eq!(format!("{:#}", anyhow::Error::from(error)), display);
        }
    }
}
