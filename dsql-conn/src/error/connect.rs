//! Why a connection could not be opened.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

/// A connection that could not be opened: which one, why, and what to do.
///
/// Cheap to clone, because everyone who waits for a connection is told the same.
#[derive(Clone)]
pub struct ConnectError(Arc<Failure>);

/// A [`ConnectError`] that is still being put together.
pub(crate) struct Failure {
    host: String,
    user: String,
    reason: Reason,
    detail: Option<String>,
    remedy: Option<Cow<'static, str>>,
    attempts: u32,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(host: &str, user: &str, reason: Reason) -> Self {
        Self {
            host: host.to_owned(),
            user: user.to_owned(),
            reason,
            detail: None,
            remedy: None,
            attempts: 1,
            source: None,
        }
    }

    /// Adds what the peer said, or where it happened.
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Replaces the reason's own remedy by one that fits this case.
    pub(crate) fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    pub(crate) fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn after(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }

    pub(crate) fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        Self(Arc::new(failure))
    }
}

impl ConnectError {
    /// What kept the connection from being opened.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The endpoint's host name.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The database user.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// How often it was tried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure {
            host,
            user,
            reason,
            detail,
            remedy,
            attempts,
            source: _,
        } = &*self.0;
        write!(f, "cannot connect to {host} as {user:?}: {reason}")?;
        if let Some(detail) = detail {
            write!(f, " ({detail})")?;
        }
        if *attempts > 1 {
            write!(f, ", tried {attempts} times")?;
        }
        let remedy = remedy.as_deref().unwrap_or_else(|| reason.remedy());
        write!(f, "; {remedy}")
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectError")
            .field("host", &self.0.host)
            .field("user", &self.0.user)
            .field("reason", &self.0.reason)
            .field("detail", &self.0.detail)
            .field("attempts", &self.0.attempts)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What kept a connection from being opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There are no AWS credentials, or their provider is not configured rightly.
    Credentials,
    /// The provider of AWS credentials failed, for a cause that may pass.
    CredentialsUnavailable,
    /// The provider of AWS credentials did not reply in time.
    CredentialsTimedOut,
    /// The endpoint's name does not resolve.
    NameResolution,
    /// No name server answered.
    NameServer,
    /// No address of the endpoint accepted a TCP connection.
    Unreachable,
    /// The server's certificate is not one for this endpoint by a trusted authority.
    Certificate,
    /// The TLS handshake failed for another cause.
    Tls,
    /// The identity's IAM policies do not allow the connection.
    NotAuthorized,
    /// The token was made for `admin` and used by another user, or the other way round.
    WrongAction,
    /// The token is out of date even though it was just signed.
    TokenExpired,
    /// This machine's clock and the server's differ, so that tokens are not valid or the server's
    /// certificate seems not to be.
    ClockSkew,
    /// The service denied access for a cause that it did not state in known words.
    AccessDenied,
    /// The database role does not exist.
    RoleMissing,
    /// A setting sent at the start of the session is not supported.
    SettingRefused,
    /// The service did not see which cluster was meant.
    ServerNameMissing,
    /// The cluster had been idle and is starting.
    WakingUp,
    /// The cluster has as many connections as it may have.
    TooManyConnections,
    /// Connections are being opened faster than the cluster allows.
    RateExceeded,
    /// The server is not available for now: it shuts down, starts, or met an internal error.
    Unavailable,
    /// The server refused the session for another cause.
    Refused,
    /// The peer closed the connection before the session was ready.
    Interrupted,
    /// The peer did not answer as a PostgreSQL server does.
    Protocol,
    /// The deadline for opening a connection passed, or that of a checkout which waited for it.
    TimedOut,
    /// The attempt was given up, because the pool was closed or a bug ended it.
    Aborted,
}

impl Reason {
    /// Whether the same attempt may succeed a little later without anyone changing anything.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::CredentialsUnavailable
                | Self::CredentialsTimedOut
                | Self::NameServer
                | Self::Unreachable
                | Self::WakingUp
                | Self::TooManyConnections
                | Self::RateExceeded
                | Self::Unavailable
                | Self::Interrupted
                | Self::TimedOut
                | Self::Aborted
        )
    }

    /// Whether other credentials might have been let in.
    pub(crate) fn is_about_credentials(self) -> bool {
        matches!(
            self,
            Self::TokenExpired | Self::ClockSkew | Self::AccessDenied | Self::NotAuthorized
        )
    }

    /// A stable name for logs, metrics and programs.
    pub fn code(self) -> &'static str {
        self.words().0
    }

    fn remedy(self) -> &'static str {
        self.words().2
    }

    /// Name, description and remedy, side by side so that none is forgotten.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Credentials => (
                "credentials",
                "no AWS credentials to sign a token with",
                "check where they should come from",
            ),
            Self::CredentialsUnavailable => (
                "credentials_unavailable",
                "the AWS credentials could not be fetched",
                "check that their source can be reached from here",
            ),
            Self::CredentialsTimedOut => (
                "credentials_timed_out",
                "the provider of AWS credentials did not reply in time",
                "check that their source can be reached from here",
            ),
            Self::NameResolution => (
                "name_resolution",
                "the host name does not resolve",
                "check the cluster ID and the Region",
            ),
            Self::NameServer => (
                "name_server",
                "no name server answered",
                "check this network's DNS",
            ),
            Self::Unreachable => (
                "unreachable",
                "the host could not be reached",
                "check that this network lets TCP through to the endpoint's port",
            ),
            Self::Certificate => (
                "certificate",
                "the server's certificate was not accepted",
                "check that the endpoint is the cluster's own and that the trusted roots hold its authority",
            ),
            Self::Tls => (
                "tls",
                "the TLS handshake failed",
                "check that nothing between here and the endpoint changes the traffic",
            ),
            Self::NotAuthorized => (
                "not_authorized",
                "not authorized",
                "allow dsql:DbConnect (dsql:DbConnectAdmin for admin) on the cluster's ARN for this identity, and map a custom \
                 role by AWS IAM GRANT; a new policy can take over a minute to be effective",
            ),
            Self::WrongAction => (
                "wrong_action",
                "the token is for another kind of user",
                "sign dsql:DbConnectAdmin for admin and dsql:DbConnect for every other role",
            ),
            Self::TokenExpired => (
                "token_expired",
                "the token is out of date although it was just signed",
                "set this machine's clock, and renew the credentials if they are temporary",
            ),
            Self::ClockSkew => (
                "clock_skew",
                "clock skew",
                "set this machine's clock, for example by NTP",
            ),
            Self::AccessDenied => (
                "access_denied",
                "access denied",
                "check the credentials, the cluster's Region and the identity's policies",
            ),
            Self::RoleMissing => (
                "role_missing",
                "the database role does not exist",
                "create it by CREATE ROLE .. WITH LOGIN and map it by AWS IAM GRANT",
            ),
            Self::SettingRefused => (
                "setting_refused",
                "a session setting is not supported",
                "remove it: the service knows only a few settings",
            ),
            Self::ServerNameMissing => (
                "server_name_missing",
                "the server was not told which cluster is meant",
                "connect by the endpoint's host name with SNI enabled",
            ),
            Self::WakingUp => (
                "waking_up",
                "the cluster is waking up",
                "try again in some seconds, or allow a longer connect timeout",
            ),
            Self::TooManyConnections => (
                "too_many_connections",
                "the cluster has too many open connections",
                "use smaller pools or ask for a higher quota",
            ),
            Self::RateExceeded => (
                "rate_exceeded",
                "connections are opened too fast",
                "the cluster allows 100 a second after a burst of 1,000: keep connections and spread their start",
            ),
            Self::Unavailable => (
                "unavailable",
                "the server is not available for now",
                "try again in some seconds, or allow a longer connect timeout",
            ),
            Self::Refused => ("refused", "the server refused the session", "see its words"),
            Self::Interrupted => (
                "interrupted",
                "the peer closed the connection while it was being opened",
                "try again; if it lasts, check what stands between here and the endpoint",
            ),
            Self::Protocol => (
                "protocol",
                "the peer does not speak the PostgreSQL protocol as expected",
                "check that the address and port are the cluster's",
            ),
            Self::TimedOut => (
                "timed_out",
                "no answer in time",
                "check the network, or raise Config::connect_timeout and Config::checkout_timeout",
            ),
            Self::Aborted => (
                "aborted",
                "the attempt was given up",
                "it is tried again at the next checkout",
            ),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().1)
    }
}
