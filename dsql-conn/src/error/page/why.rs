//! Why connections cannot be opened, for the page.

use crate::reason::Reason;

/// Returns why it happens. Exhaustive, so that no reason is forgotten.
pub(super) fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Credentials => {
            "no source of AWS credentials is configured, or the one that is cannot be used: half a \
             pair of keys, an unknown profile. The words in parentheses are the provider's."
        }
        Reason::CredentialsExpired => {
            "the keys belong to a session that has ended. A token is valid no longer than the \
             credentials that signed it."
        }
        Reason::CredentialsUnavailable => {
            "STS, SSO or the metadata endpoint of a container or an instance failed. It was asked \
             three times."
        }
        Reason::CredentialsTimedOut => {
            "the provider did not reply within three quarters of the connect timeout."
        }
        Reason::NameResolution => {
            "the name server says that there is no such name: the cluster was deleted, is of \
             another Region, or its ID is misspelt. With PrivateLink, private DNS may be off."
        }
        Reason::NameServer => "the name server of this network did not reply, or said: try again.",
        Reason::Unreachable => {
            "every address refused the connection or had no route. A security group that drops \
             packets shows as `timed_out` instead."
        }
        Reason::Certificate => {
            "no trusted root vouches for the server, its certificate is for another host, or has \
             expired. Something between here and the cluster may end TLS."
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
             This crate signs for the user that it connects as, so a proxy has changed one."
        }
        Reason::TokenExpired => {
            "the service says that the signature has expired, and not how late it is there. The \
             token was signed just before: the clock or the credentials."
        }
        Reason::ClockSkew => {
            "AWS accepts signatures that are up to 5 minutes off. The message says by how much the \
             clock is off, if the service told its time."
        }
        Reason::AccessDenied => {
            "the service knows neither the access key nor why: keys that were deleted, a secret of \
             another key, a missing session token, another account."
        }
        Reason::RoleMissing => "the database has no role of this name.",
        Reason::DatabaseMissing => "a cluster has one database, and it cannot create others.",
        Reason::SettingRefused => {
            "the service refuses connections with a setting that it does not support, such as \
             `statement_timeout`. `Config::statement_timeout` works on the client's side."
        }
        Reason::ServerNameMissing => {
            "TLS without SNI, or by an address of PrivateLink without `amzn-cluster-id`."
        }
        Reason::WakingUp => {
            "a cluster without connections for a long time scales to zero. It was tried until the \
             connect timeout."
        }
        Reason::TooManyConnections => "all clients together hold 10,000 connections, the quota.",
        Reason::RateExceeded => {
            "the quota of new connections is a burst of 1,000 and then 100 a second. It was tried \
             until the connect timeout."
        }
        Reason::Unavailable => "the server is starting, shutting down or had an internal error.",
        Reason::Refused => "the server gave a cause that this crate does not know.",
        Reason::Interrupted => {
            "the peer, or something in between, closed the connection in the middle of the login."
        }
        Reason::Protocol => {
            "something else listens at that address: an HTTP server, another database, a proxy."
        }
        Reason::TimedOut => {
            "nobody answered before the connect timeout. The message names the step: TCP, TLS or \
             the login. A security group or a firewall that drops packets looks like this."
        }
        Reason::Aborted => "the pool was closed, or a credentials provider panicked.",
    }
}
