//! Every way in which the cluster says no, in the service's words.
//! The rooms that judge produce these; `frame` writes them to the wire.

use std::borrow::Cow;
use std::time::Duration;

use crate::identity::Action;
use crate::sigv4::Flaw;

/// A refusal: severity, SQLSTATE, message and hint follow from what was refused.
///
/// Where the service's SQLSTATE is not known, the one of its other refusals (08006) stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is not valid; the hint says why.
    Token(Flaw),
    /// The token is for the other kind of user.
    WrongAction {
        /// The database user of the startup packet.
        user: String,
        /// The action that the token is for.
        action: Action,
    },
    /// No policy of the identity allows the action.
    NotAuthorized {
        /// The identity.
        arn: String,
        /// The action that the token is for.
        action: Action,
        /// The cluster's ARN.
        resource: String,
    },
    /// No `AWS IAM GRANT` ties the database role to the identity.
    NotGranted {
        /// The identity.
        arn: String,
    },
    /// The older wording for a refused token.
    IamAuthenticationFailed {
        /// The database user of the startup packet.
        user: String,
    },
    /// The database role does not exist.
    RoleMissing {
        /// The database user of the startup packet.
        role: String,
    },
    /// The database role has no `LOGIN`.
    RoleCannotLogin {
        /// The database user of the startup packet.
        role: String,
    },
    /// Another database than `postgres`.
    DatabaseMissing {
        /// The database of the startup packet.
        database: String,
    },
    /// A parameter that sessions cannot set, in the startup packet.
    ParameterNotSupported {
        /// The parameter.
        name: String,
    },
    /// The TLS hello had no server name.
    NoSni,
    /// A startup packet outside of TLS.
    NoTls,
    /// The cluster scaled to zero and is on its way back.
    WakingUp,
    /// The cluster has all the connections that it takes.
    TooManyConnections,
    /// More new connections a second than the cluster takes.
    RateExceeded,
    /// Bytes that are not the protocol.
    Protocol(&'static str),
    /// In a session: another transaction changed the same rows.
    Conflict,
    /// In a session: another session changed the schema.
    SchemaChanged,
    /// In a session: the outcome of what ran is unknown, the connection stays.
    ServerUnavailable,
    /// In a session: a statement, or a part of one, that the service does not have.
    Unsupported {
        /// The service's words.
        message: Cow<'static, str>,
    },
    /// In a session: a parameter that sessions cannot set, by `SET`.
    SettingNotSupported {
        /// The parameter.
        name: String,
    },
    /// In a session: a type or a parameter that does not exist.
    Unknown {
        /// PostgreSQL's words.
        message: Cow<'static, str>,
    },
    /// In a session: a statement that runs in no transaction.
    NotInTransaction {
        /// The statement.
        what: &'static str,
    },
    /// In a session: a statement of a transaction that has been open for too long.
    TransactionAge {
        /// How long it has been open.
        age: Duration,
        /// How long it may be.
        limit: Duration,
    },
    /// Whatever a test makes up.
    Custom {
        /// Ends the connection, unless it is only an error.
        fatal: bool,
        /// Five characters.
        sqlstate: Cow<'static, str>,
        /// The message.
        message: Cow<'static, str>,
        /// The hint, if any.
        hint: Option<Cow<'static, str>>,
    },
}

impl Refusal {
    /// Returns what an expired token is refused with, for faults.
    pub fn signature_expired() -> Self {
        let now = std::time::SystemTime::now();
        Self::Token(Flaw::Expired { expiry: now, now })
    }

    pub(crate) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported {
            message: message.into(),
        }
    }

    /// Returns whether the connection ends with it.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Conflict
            | Self::SchemaChanged
            | Self::ServerUnavailable
            | Self::Unsupported { .. }
            | Self::SettingNotSupported { .. }
            | Self::Unknown { .. }
            | Self::NotInTransaction { .. }
            | Self::TransactionAge { .. } => false,
            Self::Custom { fatal, .. } => *fatal,
            _ => true,
        }
    }

    /// Returns the SQLSTATE.
    pub fn sqlstate(&self) -> &str {
        match self {
            Self::ParameterNotSupported { .. }
            | Self::SettingNotSupported { .. }
            | Self::Unsupported { .. } => "0A000",
            Self::Unknown { .. } => "42704",
            Self::NotInTransaction { .. } => "25001",
            Self::TransactionAge { .. } => "54000",
            Self::TooManyConnections => "53300",
            Self::RateExceeded => "53400",
            Self::RoleMissing { .. }
            | Self::RoleCannotLogin { .. }
            | Self::IamAuthenticationFailed { .. } => "28000",
            Self::DatabaseMissing { .. } => "3D000",
            Self::Protocol(_) => "08P01",
            Self::Conflict | Self::SchemaChanged => "40001",
            Self::ServerUnavailable => "XX000",
            Self::Custom { sqlstate, .. } => sqlstate,
            _ => "08006",
        }
    }

    /// Returns the message.
    pub fn message(&self) -> Cow<'_, str> {
        match self {
            Self::Token(_)
            | Self::WrongAction { .. }
            | Self::NotAuthorized { .. }
            | Self::NotGranted { .. } => "unable to accept connection, access denied".into(),
            Self::IamAuthenticationFailed { user } => {
                format!("IAM authentication failed for user \"{user}\"").into()
            }
            Self::RoleMissing { role } => format!("Role {role} does not exist").into(),
            Self::RoleCannotLogin { role } => {
                format!("role \"{role}\" is not permitted to log in").into()
            }
            Self::DatabaseMissing { database } => {
                format!("database \"{database}\" does not exist").into()
            }
            Self::ParameterNotSupported { name } | Self::SettingNotSupported { name } => {
                format!("setting configuration parameter \"{name}\" not supported").into()
            }
            Self::NoSni => "unable to accept connection, sni was not received".into(),
            Self::NoTls => "unable to accept connection, TLS is required".into(),
            Self::WakingUp => {
                "unable to accept connection, waking up cluster, please retry later".into()
            }
            Self::TooManyConnections => {
                "Unable to accept connection, too many open connections.".into()
            }
            Self::RateExceeded => "Unable to accept connection, rate exceeded.".into(),
            Self::Protocol(what) => (*what).into(),
            Self::Conflict => "change conflicts with another transaction (OC000)".into(),
            Self::SchemaChanged => "schema has been updated by another transaction (OC001)".into(),
            Self::ServerUnavailable => "server unavailable".into(),
            Self::Unsupported { message }
            | Self::Unknown { message }
            | Self::Custom { message, .. } => message.as_ref().into(),
            Self::NotInTransaction { what } => {
                format!("{what} cannot run inside a transaction block").into()
            }
            Self::TransactionAge { limit, .. } => {
                format!("transaction age limit of {}s exceeded", limit.as_secs()).into()
            }
        }
    }

    /// Returns the detail, which few refusals have.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::TransactionAge { age, limit } => Some(format!(
                "Current transaction age {}s exceeds {}s",
                age.as_secs(),
                limit.as_secs()
            )),
            _ => None,
        }
    }

    /// Returns the hint, which is where the service says why it denied access.
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Token(flaw) => flaw.to_string(),
            Self::WrongAction { user, action } => {
                format!("Wrong user to action mapping. user: {user}, action: {action}")
            }
            Self::NotAuthorized {
                arn,
                action,
                resource,
            } => format!(
                "User: {arn} is not authorized to perform: dsql:{action} on resource: {resource} \
                 because no identity-based policy allows the dsql:{action} action"
            ),
            Self::NotGranted { arn } => {
                format!("User: {arn} is not authorized to access this resource")
            }
            Self::Custom { hint, .. } => return hint.as_deref().map(Cow::Borrowed),
            _ => return None,
        };
        Some(hint.into())
    }
}
