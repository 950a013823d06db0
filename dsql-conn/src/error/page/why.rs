//! Why connections cannot be opened, for the page.

use crate::reason::Reason;

/// Returns why it happens. Exhaustive, so that no reason is forgotten.
pub(super) fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Credentials => {
            "no source of AWS credentials is configured, or the configured one cannot be used: \
             half a pair of keys, an unknown profile. The parentheses contain the provider's \
             message."
        }
        Reason::CredentialsExpired => {
            "the keys belong to a session that has ended. A token is valid no longer than the \
             credentials that signed it."
        }
        Reason::CredentialsUnavailable => {
            "STS, SSO or the metadata endpoint of a container or an instance failed. This crate \
             tried three times."
        }
        Reason::CredentialsTimedOut => {
            "the provider did not reply within three quarters of the connect timeout."
        }
        Reason::NameResolution => {
            "the name server reports that the name does not exist: the cluster was deleted, is in \
             another Region, or its ID is misspelt. With PrivateLink, private DNS may be off."
        }
        Reason::NameServer => "this network's name server did not reply, or failed temporarily.",
        Reason::Unreachable => {
            "every address refused the connection or had no route. A security group that drops \
             packets shows as `timed_out` instead."
        }
        Reason::Certificate => {
            "no trusted authority signed the server's certificate, or it is for another host, or \
             has expired. A proxy between here and the cluster may terminate TLS."
        }
        Reason::UnknownCluster => {
            "the server has no certificate for the name in the TLS hello: the address belongs to \
             another cluster or another Region."
        }
        Reason::Tls => "client and server have no TLS version or cipher in common.",
        Reason::NotAuthorized => {
            "the identity's policies do not allow the action, or no `AWS IAM GRANT` maps the role \
             to it. The message has the identity's ARN."
        }
        Reason::WrongAction => {
            "the token was signed for `admin` and used by another role, or the other way round. \
             This crate signs for the user that it connects as, so a proxy has changed the user or \
             the token."
        }
        Reason::TokenExpired => {
            "the service reports that the signature has expired, but not its own time. The token \
             was signed just before, so the cause is this machine's clock or the credentials."
        }
        Reason::ClockSkew => {
            "AWS accepts signatures whose time is at most 5 minutes off. The message says by how \
             much the clock is off, if the service reported its time."
        }
        Reason::AccessDenied => {
            "the service denied access without a more specific cause: deleted keys, the secret of \
             another key, a missing session token, another account, or a clock that is wrong."
        }
        Reason::RoleMissing => "the database has no role of this name.",
        Reason::DatabaseMissing => "a cluster has one database, and it cannot create others.",
        Reason::SettingRefused => {
            "the service refuses connections with a setting that it does not support, such as \
             `statement_timeout`. `Config::statement_timeout` works on the client's side."
        }
        Reason::ServerNameMissing => {
            "TLS has no SNI, or uses a PrivateLink name without `amzn-cluster-id`."
        }
        Reason::WakingUp => {
            "a cluster without connections for a long time scales to zero. This crate retried \
             until the connect timeout."
        }
        Reason::TooManyConnections => "all clients together have 10,000 connections, the quota.",
        Reason::RateExceeded => {
            "the quota of new connections is a burst of 1,000 and then 100 a second. This crate \
             retried until the connect timeout."
        }
        Reason::Unavailable => "the server is starting, shutting down or had an internal error.",
        Reason::Refused => "this crate does not know the server's error.",
        Reason::Interrupted => {
            "the server, or a proxy before it, closed the connection during the login."
        }
        Reason::Protocol => {
            "another program listens at that address: an HTTP server, another database, a proxy."
        }
        Reason::TimedOut => {
            "no reply arrived before the connect timeout. The message names the step: TCP, TLS or \
             the login. A security group or a firewall that drops packets causes this."
        }
        Reason::Aborted => "the pool was closed, or a credentials provider panicked.",
    }
}
