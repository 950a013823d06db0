//! Classes of causes, and their exit codes.

use std::fmt;

use dsql_conn::Reason;
use serde::Serialize;

/// The class of a cause: what must be changed. Each class has an exit code of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Class {
    /// Nothing is wrong. Exit code 0.
    Healthy,
    /// A cause of no other class. Exit code 1.
    Other,
    /// A setting of the connection. Exit code 2, as for wrong arguments of the program.
    Settings,
    /// The AWS credentials. Exit code 3.
    Credentials,
    /// This machine's clock. Exit code 4.
    Clock,
    /// The network: name, route or firewall. Exit code 5.
    Network,
    /// TLS: the certificate, or what answers at the address. Exit code 6.
    Tls,
    /// Permissions in IAM or roles in the database. Exit code 7.
    Access,
    /// The cluster is waking up, full or throttled, which may be transient. Exit code 8.
    Busy,
    /// The session: a statement failed, or a table is missing. Exit code 9.
    Session,
}

impl Class {
    /// Returns the exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Other => 1,
            Self::Settings => 2,
            Self::Credentials => 3,
            Self::Clock => 4,
            Self::Network => 5,
            Self::Tls => 6,
            Self::Access => 7,
            Self::Busy => 8,
            Self::Session => 9,
        }
    }
}

impl From<Reason> for Class {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Credentials
            | Reason::CredentialsExpired
            | Reason::CredentialsUnavailable
            | Reason::CredentialsTimedOut => Self::Credentials,
            Reason::ClockSkew | Reason::TokenExpired => Self::Clock,
            Reason::NameResolution
            | Reason::NameServer
            | Reason::Unreachable
            | Reason::Interrupted
            | Reason::TimedOut => Self::Network,
            Reason::Certificate | Reason::UnknownCluster | Reason::Tls | Reason::Protocol => {
                Self::Tls
            }
            Reason::NotAuthorized
            | Reason::WrongAction
            | Reason::AccessDenied
            | Reason::RoleMissing
            | Reason::ServerNameMissing => Self::Access,
            Reason::DatabaseMissing | Reason::SettingRefused => Self::Settings,
            Reason::WakingUp
            | Reason::TooManyConnections
            | Reason::RateExceeded
            | Reason::Unavailable => Self::Busy,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Other => "other",
            Self::Settings => "settings",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Network => "network",
            Self::Tls => "TLS",
            Self::Access => "access",
            Self::Busy => "busy",
            Self::Session => "session",
        })
    }
}
