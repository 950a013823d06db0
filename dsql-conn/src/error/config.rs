//! What is wrong with a setting.

use std::borrow::Cow;
use std::{fmt, io};

use crate::endpoint::{EndpointError, quoted, repeatable};

/// A setting that is missing or invalid, with its value and the remedy. Contains no secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The endpoint is not the host name of a cluster, or contradicts the Region.
    Endpoint(EndpointError),

    /// A variable of the environment is not set.
    Missing {
        /// The variable's name.
        variable: &'static str,
        /// What it must hold.
        expected: &'static str,
    },

    /// A variable of the environment is set to an empty text.
    Empty {
        /// The variable's name.
        variable: &'static str,
        /// What it must hold.
        expected: &'static str,
    },

    /// A setting has an invalid value.
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
    Setting {
        /// The name that was given, unless it may contain a password.
        name: String,
        /// What is wrong with the name or the value.
        problem: &'static str,
    },

    /// A connection URL that cannot be parsed, or asks for something that this crate does not
    /// support.
    Url {
        /// What is wrong with it. The URL is not repeated, because it may contain a password.
        problem: String,
        /// What to do, if that is not clear from the form of a URL.
        remedy: Option<&'static str>,
    },

    /// The root certificates cannot be read.
    Certificates {
        /// The setting's name.
        setting: &'static str,
        /// The file's name, or what else was given.
        origin: String,
        /// What is wrong.
        problem: String,
        /// The kind of the file system's error, if the file could not be opened or read.
        io: Option<io::ErrorKind>,
    },

    /// The crate was built without a TLS provider, and the caller gave no
    /// [`ClientConfig`](rustls::ClientConfig).
    NoTlsProvider,
}

impl ConfigError {
    /// Creates the error for a text that is not a valid value of a setting.
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

impl ConfigError {
    /// Returns what to do about the error. `Display` ends with it.
    pub fn remedy(&self) -> Cow<'static, str> {
        match self {
            Self::Endpoint(error) => error.remedy().into(),
            Self::Missing { expected, .. } | Self::Empty { expected, .. } => {
                format!("set it to {expected}").into()
            }
            Self::Value { expected, .. } => format!("it must be {expected}").into(),
            Self::Setting { .. } => "correct it, or leave it out".into(),
            Self::Url { remedy, .. } => match remedy {
                Some(remedy) => format!("{remedy}; {URL}").into(),
                None => URL.into(),
            },
            Self::Certificates { io, .. } => match io {
                Some(io::ErrorKind::NotFound) => {
                    "check the path; dsql-local deletes its file when it ends: start it again, \
                     and set its new path"
                }
                Some(io::ErrorKind::PermissionDenied) => "make the file readable for this process",
                _ => "give CA certificates in PEM",
            }
            .into(),
            Self::NoTlsProvider => "enable the feature `ring` or `aws-lc-rs` of dsql-conn, pass a \
                                    rustls ClientConfig to Config::tls_config, or install a \
                                    default CryptoProvider of rustls"
                .into(),
        }
    }

    /// Returns what happened, without the remedy.
    pub(crate) fn what(&self) -> String {
        match self {
            Self::Endpoint(error) => error.what(),
            Self::Missing { variable, .. } => {
                format!("the environment variable {variable} is not set")
            }
            Self::Empty { variable, .. } => format!("the environment variable {variable} is empty"),
            Self::Value { setting, value, .. } => format!("{setting} is {}", quoted(value)),
            Self::Setting { name, problem } => {
                format!(
                    "the session setting {} cannot be sent: {problem}",
                    quoted(name)
                )
            }
            Self::Url { problem, .. } => format!("connection URL: {problem}"),
            Self::Certificates {
                setting,
                origin,
                problem,
                io: _,
            } => format!("{setting}: no root certificates in {origin}: {problem}"),
            Self::NoTlsProvider => "no TLS provider".to_owned(),
        }
    }
}

impl From<EndpointError> for ConfigError {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what(), self.remedy())
    }
}

impl std::error::Error for ConfigError {}

/// Like `Display`: a `main` that returns an error prints it by `Debug`.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

const URL: &str = "write postgres://USER@ENDPOINT:5432/postgres";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    #[test]
    fn debug_reads_like_display_and_repeats_nothing() {
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
