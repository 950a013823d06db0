//! The faults: of the network, and errors of the service.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use dsql_local::{Action, Effect, Flaw, Refusal};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The port is closed, or the name does not exist.
    Refuse,
    /// A temporary failure of the name server.
    TryAgain,
    Reset,
    Eof,
    /// The connection stays open; nothing arrives.
    Stall,
    Garbage,
    /// Bytes arrive one at a time, before any timeout.
    Trickle,
    /// Bytes arrive one at a time, too slowly for any timeout.
    Crawl,
    Service(Service),
}

/// An error that the service sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    SignatureExpired,
    SignatureNotYetCurrent,
    WrongSignature,
    UnknownAccessKey,
    MalformedToken,
    IamAuthenticationFailed,
    WrongAction,
    NotAuthorized,
    NotGranted,
    RoleMissing,
    RoleCannotLogin,
    DatabaseMissing,
    StartupSetting,
    NoServerName,
    NoTls,
    ProtocolViolation,
    WakingUp,
    TooManyConnections,
    RateExceeded,
    ShuttingDown,
    DataConflict,
    SchemaConflict,
    Unavailable,
    TransactionAge,
    TransactionSize,
    TransactionFailed,
    NotInTransaction,
    UnsupportedStatement,
    UnsupportedSetting,
    UnknownType,
}

/// What the service answers with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    ClearText,
    Login,
    Statement,
    /// A login or a statement.
    Either,
    /// Any request. The session ends.
    Anything,
}

impl Fault {
    /// Every fault, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let network = [
            Self::Refuse,
            Self::TryAgain,
            Self::Reset,
            Self::Eof,
            Self::Stall,
            Self::Garbage,
            Self::Trickle,
            Self::Crawl,
        ];
        network
            .into_iter()
            .chain(Service::ALL.into_iter().map(Self::Service))
    }

    /// The effect to inject into the local cluster.
    pub(crate) fn effect(self) -> Effect {
        match self {
            Self::Refuse | Self::TryAgain => unreachable!("the resolver simulates these"),
            Self::Reset => Effect::Reset,
            Self::Eof => Effect::Cut,
            Self::Stall => Effect::Stall,
            Self::Garbage => Effect::Garbage,
            // Shorter than a tick of the timer: a login has several thousand bytes.
            Self::Trickle => Effect::Trickle(Duration::from_micros(1)),
            Self::Crawl => Effect::Trickle(Duration::from_secs(3600)),
            Self::Service(service) => Effect::Refuse(service.refusal()),
        }
    }

    /// Whether the connection stays open after the fault.
    pub(crate) fn leaves_the_connection_open(self) -> bool {
        match self {
            Self::Stall | Self::Trickle | Self::Crawl => true,
            Self::Service(service) => !service.refusal().is_fatal(),
            _ => false,
        }
    }

    /// Whether only a timeout reveals it.
    pub(crate) fn is_silent(self) -> bool {
        matches!(self, Self::Stall | Self::Crawl)
    }
}

impl Service {
    const ALL: [Self; 30] = [
        Self::SignatureExpired,
        Self::SignatureNotYetCurrent,
        Self::WrongSignature,
        Self::UnknownAccessKey,
        Self::MalformedToken,
        Self::IamAuthenticationFailed,
        Self::WrongAction,
        Self::NotAuthorized,
        Self::NotGranted,
        Self::RoleMissing,
        Self::RoleCannotLogin,
        Self::DatabaseMissing,
        Self::StartupSetting,
        Self::NoServerName,
        Self::NoTls,
        Self::ProtocolViolation,
        Self::WakingUp,
        Self::TooManyConnections,
        Self::RateExceeded,
        Self::ShuttingDown,
        Self::DataConflict,
        Self::SchemaConflict,
        Self::Unavailable,
        Self::TransactionAge,
        Self::TransactionSize,
        Self::TransactionFailed,
        Self::NotInTransaction,
        Self::UnsupportedStatement,
        Self::UnsupportedSetting,
        Self::UnknownType,
    ];

    /// What the service answers with it.
    pub(crate) fn answers(self) -> Answers {
        match self {
            Self::NoTls => Answers::ClearText,
            Self::SignatureExpired
            | Self::SignatureNotYetCurrent
            | Self::WrongSignature
            | Self::UnknownAccessKey
            | Self::MalformedToken
            | Self::IamAuthenticationFailed
            | Self::WrongAction
            | Self::NotAuthorized
            | Self::NotGranted
            | Self::RoleMissing
            | Self::RoleCannotLogin
            | Self::DatabaseMissing
            | Self::StartupSetting
            | Self::NoServerName
            | Self::WakingUp
            | Self::TooManyConnections
            | Self::RateExceeded => Answers::Login,
            Self::ProtocolViolation | Self::ShuttingDown => Answers::Anything,
            Self::Unavailable => Answers::Either,
            Self::DataConflict
            | Self::SchemaConflict
            | Self::TransactionAge
            | Self::TransactionSize
            | Self::TransactionFailed
            | Self::NotInTransaction
            | Self::UnsupportedStatement
            | Self::UnsupportedSetting
            | Self::UnknownType => Answers::Statement,
        }
    }

    /// The error that the local cluster sends.
    pub(crate) fn refusal(self) -> Refusal {
        // A fixed time, so that refusals compare equal.
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let admin = || "admin".to_owned();
        let arn = || "arn:aws:iam::123456789012:role/api".to_owned();
        let error = |sqlstate: &'static str, message: &'static str| Refusal::Custom {
            fatal: false,
            sqlstate: sqlstate.into(),
            message: message.into(),
            hint: None,
        };
        match self {
            Self::SignatureExpired => Refusal::Token(Flaw::Expired { expiry: now, now }),
            Self::SignatureNotYetCurrent => Refusal::Token(Flaw::NotYetCurrent { date: now, now }),
            Self::WrongSignature => Refusal::Token(Flaw::WrongSignature),
            Self::UnknownAccessKey => Refusal::Token(Flaw::UnknownAccessKey),
            Self::MalformedToken => Refusal::Token(Flaw::Malformed("the host")),
            Self::IamAuthenticationFailed => Refusal::IamAuthenticationFailed { user: admin() },
            Self::WrongAction => Refusal::WrongAction {
                user: admin(),
                action: Action::DbConnect,
            },
            Self::NotAuthorized => Refusal::NotAuthorized {
                arn: arn(),
                action: Action::DbConnectAdmin,
                resource: "arn:aws:dsql:us-east-1:123456789012:cluster/x".to_owned(),
            },
            Self::NotGranted => Refusal::NotGranted { arn: arn() },
            Self::RoleMissing => Refusal::RoleMissing { role: admin() },
            Self::RoleCannotLogin => Refusal::RoleCannotLogin { role: admin() },
            Self::DatabaseMissing => Refusal::DatabaseMissing {
                database: "games".to_owned(),
            },
            Self::StartupSetting => Refusal::ParameterNotSupported {
                name: "statement_timeout".to_owned(),
            },
            Self::NoServerName => Refusal::NoSni,
            Self::NoTls => Refusal::NoTls,
            Self::ProtocolViolation => Refusal::Protocol("invalid message format"),
            Self::WakingUp => Refusal::WakingUp,
            Self::TooManyConnections => Refusal::TooManyConnections,
            Self::RateExceeded => Refusal::RateExceeded,
            Self::ShuttingDown => Refusal::Custom {
                fatal: true,
                sqlstate: "57P01".into(),
                message: "terminating connection due to administrator command".into(),
                hint: None,
            },
            Self::DataConflict => Refusal::Conflict,
            Self::SchemaConflict => Refusal::SchemaChanged,
            Self::Unavailable => Refusal::ServerUnavailable,
            Self::TransactionAge => Refusal::TransactionAge {
                age: Duration::from_secs(301),
                limit: Duration::from_secs(300),
            },
            Self::TransactionSize => error("54000", "transaction row limit exceeded"),
            Self::TransactionFailed => error("25P02", "current transaction is aborted"),
            Self::NotInTransaction => Refusal::NotInTransaction {
                what: "CREATE INDEX ASYNC",
            },
            Self::UnsupportedStatement => Refusal::Unsupported {
                message: Cow::Borrowed("unsupported statement: Truncate"),
            },
            Self::UnsupportedSetting => Refusal::SettingNotSupported {
                name: "work_mem".to_owned(),
            },
            Self::UnknownType => Refusal::Unknown {
                message: Cow::Borrowed("type \"ltree\" does not exist"),
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refused"),
            Self::TryAgain => f.write_str("temporary failure"),
            Self::Reset => f.write_str("reset"),
            Self::Eof => f.write_str("end of stream"),
            Self::Stall => f.write_str("silence"),
            Self::Garbage => f.write_str("garbage"),
            Self::Trickle => f.write_str("trickle in time"),
            Self::Crawl => f.write_str("trickle too slow"),
            Self::Service(service) => service.fmt(f),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = self.refusal();
        let particulars = match self {
            Self::SignatureExpired => ": signature expired",
            Self::SignatureNotYetCurrent => ": signature not yet current",
            Self::WrongSignature => ": signature does not match",
            Self::UnknownAccessKey => ": security token invalid",
            Self::MalformedToken => ": signature does not conform",
            Self::WrongAction => ": wrong user to action mapping",
            Self::NotAuthorized => ": not authorized to perform",
            Self::NotGranted => ": not authorized to access",
            _ => "",
        };
        let message = refusal.message();
        let message = message.trim_end_matches('.');
        let message = match message.get(..PREAMBLE.len()) {
            Some(start) if start.eq_ignore_ascii_case(PREAMBLE) => &message[PREAMBLE.len()..],
            _ => message,
        };
        write!(f, "{} {}{particulars}", refusal.sqlstate(), message)
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClearText => "errors that answer clear text",
            Self::Login => "errors that answer a login",
            Self::Statement => "errors that answer a statement",
            Self::Either => "errors that answer a login or a statement",
            Self::Anything => "errors that end a session",
        })
    }
}

/// How most refusals of a login begin.
const PREAMBLE: &str = "unable to accept connection, ";
