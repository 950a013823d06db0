//! Every error that the cluster itself reports, with the service's messages.

use std::borrow::Cow;
use std::time::Duration;

use crate::iam::identity::Action;
use crate::iam::sigv4::Flaw;

/// An error that the cluster reports, with severity, SQLSTATE, message and hint.
///
/// Where the service's SQLSTATE is not known, it is 08006, as in its other connection errors.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The token is not valid. The hint contains the cause.
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
    /// A refused token, with the service's older message.
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
    /// A database other than `postgres`.
    DatabaseMissing {
        /// The database of the startup packet.
        database: String,
    },
    /// A parameter in the startup packet that sessions cannot set.
    ParameterNotSupported {
        /// The parameter.
        name: String,
    },
    /// The server name in the TLS hello is not an endpoint, such as `localhost`.
    NotAnEndpoint {
        /// The host.
        host: String,
        /// The cluster's endpoint.
        endpoint: String,
    },
    /// The TLS hello had no server name.
    NoSni,
    /// A startup packet outside of TLS.
    NoTls,
    /// The cluster scaled to zero and is waking up.
    WakingUp,
    /// The cluster has its maximum number of connections.
    TooManyConnections,
    /// The rate of new connections exceeds the limit.
    RateExceeded,
    /// The engine behind the local cluster was killed or crashed.
    EngineEnded,
    /// The client violated the protocol.
    Protocol(&'static str),
    /// In a session: another transaction changed the same rows.
    Conflict,
    /// In a session: another session changed the schema.
    SchemaChanged,
    /// In a session: the outcome of the statement is unknown; the connection stays open.
    ServerUnavailable,
    /// In a session: a statement or clause that the service does not support.
    Unsupported {
        /// The service's message.
        message: Cow<'static, str>,
    },
    /// In a session: `SET` of a parameter that sessions cannot set.
    SettingNotSupported {
        /// The parameter.
        name: String,
    },
    /// In a session: a type or a parameter that does not exist.
    Unknown {
        /// PostgreSQL's message.
        message: Cow<'static, str>,
    },
    /// In a session: an option with a value that the service does not accept.
    Invalid {
        /// The service's message.
        message: Cow<'static, str>,
    },
    /// In a session: a statement that cannot run in a transaction.
    NotInTransaction {
        /// The statement.
        what: &'static str,
    },
    /// In a session: a statement of a transaction past its maximum age.
    TransactionAge {
        /// The transaction's age.
        age: Duration,
        /// The maximum age.
        limit: Duration,
    },
    /// Any other error, for tests.
    Custom {
        /// Whether the connection ends. Otherwise only the statement fails.
        fatal: bool,
        /// The SQLSTATE: five characters.
        sqlstate: Cow<'static, str>,
        /// The message.
        message: Cow<'static, str>,
        /// The hint, if any.
        hint: Option<Cow<'static, str>>,
    },
}

impl Refusal {
    /// Returns the refusal of an expired token, for faults.
    pub fn signature_expired() -> Self {
        let now = std::time::SystemTime::now();
        Self::Token(Flaw::Expired { expiry: now, now })
    }

    pub(crate) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Unsupported {
            message: message.into(),
        }
    }

    /// Returns whether the connection ends.
    pub fn is_fatal(&self) -> bool {
        match self {
            Self::Conflict
            | Self::SchemaChanged
            | Self::ServerUnavailable
            | Self::Unsupported { .. }
            | Self::SettingNotSupported { .. }
            | Self::Unknown { .. }
            | Self::Invalid { .. }
            | Self::NotInTransaction { .. }
            | Self::TransactionAge { .. } => false,
            Self::Custom { fatal, .. } => *fatal,
            Self::Token(_)
            | Self::WrongAction { .. }
            | Self::NotAuthorized { .. }
            | Self::NotGranted { .. }
            | Self::IamAuthenticationFailed { .. }
            | Self::RoleMissing { .. }
            | Self::RoleCannotLogin { .. }
            | Self::DatabaseMissing { .. }
            | Self::ParameterNotSupported { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoSni
            | Self::NoTls
            | Self::WakingUp
            | Self::TooManyConnections
            | Self::RateExceeded
            | Self::EngineEnded
            | Self::Protocol(_) => true,
        }
    }

    /// Returns the SQLSTATE.
    pub fn sqlstate(&self) -> &str {
        match self {
            Self::ParameterNotSupported { .. }
            | Self::SettingNotSupported { .. }
            | Self::Unsupported { .. } => "0A000",
            Self::Unknown { .. } => "42704",
            Self::Invalid { .. } => "22023",
            Self::NotInTransaction { .. } => "25001",
            Self::TransactionAge { .. } => "54000",
            Self::TooManyConnections => "53300",
            Self::RateExceeded => "53400",
            Self::RoleCannotLogin { .. } | Self::IamAuthenticationFailed { .. } => "28000",
            Self::DatabaseMissing { .. } => "3D000",
            Self::RoleMissing { .. } | Self::NoTls | Self::Protocol(_) => "08P01",
            Self::EngineEnded => "57P02",
            Self::Conflict | Self::SchemaChanged => "40001",
            Self::ServerUnavailable => "XX000",
            Self::Custom { sqlstate, .. } => sqlstate,
            Self::Token(_)
            | Self::WrongAction { .. }
            | Self::NotAuthorized { .. }
            | Self::NotGranted { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoSni
            | Self::WakingUp => "08006",
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
            Self::NoTls => "unable to accept connection, SSL is mandatory".into(),
            Self::NotAnEndpoint { host, .. } => {
                format!("unable to accept connection, \"{host}\" is not the endpoint of a cluster")
                    .into()
            }
            Self::WakingUp => {
                "unable to accept connection, waking up cluster, please retry later".into()
            }
            Self::TooManyConnections => {
                "Unable to accept connection, too many open connections.".into()
            }
            Self::RateExceeded => "Unable to accept connection, rate exceeded.".into(),
            Self::EngineEnded => {
                "the engine of this local cluster ended; start the cluster again".into()
            }
            Self::Protocol(what) => (*what).into(),
            Self::Conflict => "change conflicts with another transaction (OC000)".into(),
            Self::SchemaChanged => "schema has been updated by another transaction (OC001)".into(),
            Self::ServerUnavailable => "server unavailable".into(),
            Self::Unsupported { message }
            | Self::Unknown { message }
            | Self::Invalid { message }
            | Self::Custom { message, .. } => message.as_ref().into(),
            Self::NotInTransaction { what } => {
                format!("{what} cannot run inside a transaction block").into()
            }
            Self::TransactionAge { limit, .. } => {
                format!("transaction age limit of {}s exceeded", limit.as_secs()).into()
            }
        }
    }

    /// Returns the detail, if any.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::TransactionAge { age, limit } => Some(format!(
                "Current transaction age {}s exceeds {}s",
                age.as_secs(),
                limit.as_secs()
            )),
            Self::Token(_)
            | Self::WrongAction { .. }
            | Self::NotAuthorized { .. }
            | Self::NotGranted { .. }
            | Self::IamAuthenticationFailed { .. }
            | Self::RoleMissing { .. }
            | Self::RoleCannotLogin { .. }
            | Self::DatabaseMissing { .. }
            | Self::ParameterNotSupported { .. }
            | Self::NotAnEndpoint { .. }
            | Self::NoSni
            | Self::NoTls
            | Self::WakingUp
            | Self::TooManyConnections
            | Self::RateExceeded
            | Self::EngineEnded
            | Self::Protocol(_)
            | Self::Conflict
            | Self::SchemaChanged
            | Self::ServerUnavailable
            | Self::Unsupported { .. }
            | Self::SettingNotSupported { .. }
            | Self::Unknown { .. }
            | Self::Invalid { .. }
            | Self::NotInTransaction { .. }
            | Self::Custom { .. } => None,
        }
    }

    /// Returns the hint, if any. The service's hint contains the cause of a denied connection.
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
            Self::NotAnEndpoint { endpoint, .. } => format!(
                "This is a local cluster. Connect to host {endpoint}: with libpq set hostaddr to \
                 127.0.0.1, elsewhere map the name to 127.0.0.1 in /etc/hosts, or run the \
                 client by `dsql-local exec -- COMMAND`."
            ),
            Self::NoSni => "This is a local cluster: give the endpoint's name as the host, with \
                            libpq's hostaddr, or by `dsql-local exec -- COMMAND`."
                .to_owned(),
            Self::Custom { hint, .. } => return hint.as_deref().map(Cow::Borrowed),
            Self::IamAuthenticationFailed { .. }
            | Self::RoleMissing { .. }
            | Self::RoleCannotLogin { .. }
            | Self::DatabaseMissing { .. }
            | Self::ParameterNotSupported { .. }
            | Self::NoTls
            | Self::WakingUp
            | Self::TooManyConnections
            | Self::RateExceeded
            | Self::EngineEnded
            | Self::Protocol(_)
            | Self::Conflict
            | Self::SchemaChanged
            | Self::ServerUnavailable
            | Self::Unsupported { .. }
            | Self::SettingNotSupported { .. }
            | Self::Unknown { .. }
            | Self::Invalid { .. }
            | Self::NotInTransaction { .. }
            | Self::TransactionAge { .. } => return None,
        };
        Some(hint.into())
    }
}
