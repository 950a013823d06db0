//! The reasons for which a connection cannot be opened, with their remedies.

use std::fmt;

/// Why a connection could not be opened.
///
/// `Display` describes it in a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// There are no AWS credentials, or their provider is not configured correctly.
    Credentials,
    /// The AWS credentials are temporary and have expired.
    CredentialsExpired,
    /// The provider of AWS credentials failed, for a cause that may be transient.
    CredentialsUnavailable,
    /// The provider of AWS credentials did not reply in time.
    CredentialsTimedOut,
    /// The endpoint's name does not resolve.
    NameResolution,
    /// The name server did not reply.
    NameServer,
    /// No address of the endpoint accepted a TCP connection.
    Unreachable,
    /// The server's certificate is for another host, or no trusted authority signed it.
    Certificate,
    /// The server at this address does not know the endpoint's name.
    UnknownCluster,
    /// The TLS handshake failed for another cause.
    Tls,
    /// The identity's IAM policies do not allow the connection.
    NotAuthorized,
    /// The token was signed for `admin` and used by another user, or the other way round.
    WrongAction,
    /// The token had expired although it was just signed.
    TokenExpired,
    /// This machine's clock differs from the server's: tokens are not valid, or the server's
    /// certificate does not seem to be.
    ClockSkew,
    /// The service denied access, with a message that this crate does not know.
    AccessDenied,
    /// The database role does not exist.
    RoleMissing,
    /// The database does not exist. A cluster has `postgres` alone.
    DatabaseMissing,
    /// The server does not support a setting of the session, or its value. `Display` of the error
    /// names it.
    SettingRefused,
    /// The client did not name the cluster: SNI, or `amzn-cluster-id` for PrivateLink, is missing.
    ServerNameMissing,
    /// The cluster was idle and is starting.
    WakingUp,
    /// The cluster has reached its limit of open connections.
    TooManyConnections,
    /// Connections are opened faster than the cluster allows.
    RateExceeded,
    /// The server is temporarily unavailable: it is starting or shutting down, or had an internal
    /// error.
    Unavailable,
    /// The server refused the session for another cause.
    Refused,
    /// The peer closed the connection before the session was ready.
    Interrupted,
    /// The peer does not speak the PostgreSQL protocol.
    Protocol,
    /// The deadline passed, of the connection attempt or of a checkout that waited for it.
    TimedOut,
    /// The attempt was aborted, because the pool was closed or by a bug.
    Aborted,
}

impl Reason {
    /// Every reason, in the order of the variants: each is at the index of its number.
    pub const ALL: [Self; 28] = [
        Self::Credentials,
        Self::CredentialsExpired,
        Self::CredentialsUnavailable,
        Self::CredentialsTimedOut,
        Self::NameResolution,
        Self::NameServer,
        Self::Unreachable,
        Self::Certificate,
        Self::UnknownCluster,
        Self::Tls,
        Self::NotAuthorized,
        Self::WrongAction,
        Self::TokenExpired,
        Self::ClockSkew,
        Self::AccessDenied,
        Self::RoleMissing,
        Self::DatabaseMissing,
        Self::SettingRefused,
        Self::ServerNameMissing,
        Self::WakingUp,
        Self::TooManyConnections,
        Self::RateExceeded,
        Self::Unavailable,
        Self::Refused,
        Self::Interrupted,
        Self::Protocol,
        Self::TimedOut,
        Self::Aborted,
    ];

    /// Returns whether the same attempt may succeed later without any change on this side.
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

    /// Returns whether other credentials, or a token signed now, might be accepted.
    pub(crate) fn is_about_credentials(self) -> bool {
        matches!(
            self,
            Self::TokenExpired
                | Self::ClockSkew
                | Self::AccessDenied
                | Self::NotAuthorized
                | Self::CredentialsExpired
        )
    }

    /// Returns a stable name for logs and metrics, such as `name_resolution`.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// Returns what to do about this reason in general. [`Error::remedy`](crate::Error::remedy) may
    /// be more specific.
    pub fn remedy(self) -> &'static str {
        self.words().2
    }

    /// Returns name, description and remedy. They are together, so that none is forgotten.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Credentials => (
                "credentials",
                "no AWS credentials to sign a token with",
                "check where they should come from",
            ),
            Self::CredentialsExpired => (
                "credentials_expired",
                "the AWS credentials have expired",
                "renew them at their source: log in again, or set new keys with their session \
                 token",
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
                "the name server did not reply",
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
                "check that the endpoint is the cluster's own and that the trusted roots include \
                 its authority",
            ),
            Self::UnknownCluster => (
                "unknown_cluster",
                "the server at this address does not know the cluster",
                "check the cluster ID and the Region, and that the address is the cluster's",
            ),
            Self::Tls => (
                "tls",
                "the TLS handshake failed",
                "check that nothing between here and the endpoint changes the traffic",
            ),
            Self::NotAuthorized => (
                "not_authorized",
                "not authorized",
                "allow dsql:DbConnect (dsql:DbConnectAdmin for admin) on the cluster's ARN for \
                 this identity, and map a custom role by AWS IAM GRANT; a new policy can take over \
                 a minute to be effective",
            ),
            Self::WrongAction => (
                "wrong_action",
                "the token is for another kind of user",
                "sign dsql:DbConnectAdmin for admin and dsql:DbConnect for every other role",
            ),
            Self::TokenExpired => (
                "token_expired",
                "the token had expired although it was just signed",
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
                "check the credentials, the cluster's Region, the identity's policies and this \
                 machine's clock",
            ),
            Self::RoleMissing => (
                "role_missing",
                "the database role does not exist",
                "create it by CREATE ROLE .. WITH LOGIN and map it by AWS IAM GRANT",
            ),
            Self::DatabaseMissing => (
                "database_missing",
                "the database does not exist",
                "connect to the database `postgres`, the only one that a cluster has",
            ),
            Self::SettingRefused => (
                "setting_refused",
                "the server refused a setting of the session",
                "remove it or correct its value: the service supports few settings",
            ),
            Self::ServerNameMissing => (
                "server_name_missing",
                "the server did not learn which cluster is meant",
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
                "the cluster allows 100 a second after a burst of 1,000: keep connections and \
                 spread their start",
            ),
            Self::Unavailable => (
                "unavailable",
                "the server is temporarily unavailable",
                "try again in some seconds, or allow a longer connect timeout",
            ),
            Self::Refused => (
                "refused",
                "the server refused the session",
                "see the server's message",
            ),
            Self::Interrupted => (
                "interrupted",
                "the peer closed the connection while it was being opened",
                "try again; if it persists, check the network between here and the endpoint",
            ),
            Self::Protocol => (
                "protocol",
                "the peer does not speak the PostgreSQL protocol as expected",
                "check that the address and port are the cluster's",
            ),
            Self::TimedOut => (
                "timed_out",
                "no reply in time",
                "let the traffic through (security groups, routes, firewalls), or raise \
                 Config::connect_timeout and the pool's checkout_timeout",
            ),
            Self::Aborted => (
                "aborted",
                "the attempt was aborted",
                "it is retried at the next checkout",
            ),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words().1)
    }
}
