//! Classifies the driver's error when a session could not be opened.
//!
//! Most refusals of the service are `unable to accept connection, ..` with the details in the HINT
//! field, under SQLSTATE 08006 or one that is not documented. So the messages are compared with the
//! documented ones: [troubleshooting](
//! https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html).

mod clock;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;
use std::time::SystemTime;

use rustls::AlertDescription;
use tokio_postgres::error::{DbError, SqlState};

use self::clock::{Skew, is_about_clock};
use crate::reason::Reason;
use crate::sqlstate::ServerError;

/// When a token was signed and when its credentials end, by this machine's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed {
    pub(crate) at: SystemTime,
    pub(crate) credentials_end: Option<SystemTime>,
}

/// Returns the reason for a failed login, and a text that explains it.
pub(crate) fn classify(error: &tokio_postgres::Error, token: Signed) -> (Reason, Option<String>) {
    if let Some(error) = error.as_db_error() {
        let said = match error.hint() {
            Some(hint) => format!("{}: {hint}", error.message()),
            None => error.message().to_owned(),
        };
        return match refused(error) {
            // The clock may be the cause, whatever the message is.
            reason @ (Reason::TokenExpired | Reason::AccessDenied | Reason::Refused) => {
                match Skew::told(&said, token.at) {
                    Some(skew) => (Reason::ClockSkew, Some(format!("{skew}; {said}"))),
                    None if is_about_clock(&said) => (Reason::ClockSkew, Some(said)),
                    None => match token.expired() {
                        Some(expired) => {
                            let said = format!("{expired}; {said}");
                            (Reason::CredentialsExpired, Some(said))
                        }
                        None => (reason, Some(said)),
                    },
                }
            }
            Reason::CredentialsExpired => {
                let expired = token.expired().map(|expired| format!("{expired}; {said}"));
                (Reason::CredentialsExpired, expired.or(Some(said)))
            }
            reason => (reason, Some(said)),
        };
    }
    if error.is_closed() {
        return (Reason::Interrupted, None);
    }
    let mut cause: &dyn StdError = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return interrupted(error);
        }
    }
    (Reason::Protocol, Some(cause.to_string()))
}

/// Returns a remedy that fits this case better than that of its reason.
pub(crate) fn remedy(reason: Reason, said: Option<&str>, user: &str) -> Option<Cow<'static, str>> {
    let said = said?;
    let remedy = match reason {
        Reason::ClockSkew if said.contains(clock::CERTIFICATE) => {
            "set this machine's clock, for example by NTP; if it is right, the certificate is \
             dated wrongly"
        }
        Reason::Certificate if said.contains(clock::CERTIFICATE) => {
            "have the certificate renewed; if the time above is wrong, set this machine's clock"
        }
        Reason::Certificate if said.contains(UNKNOWN_ISSUER) => {
            "check that the endpoint is the cluster's own; if a private authority signed its \
             certificate, as for dsql-local, set DSQL_CA_FILE to that authority's file, or give it \
             to Config::root_certificates_pem"
        }
        Reason::AccessDenied if said.contains(UNKNOWN_KEY) => {
            "the service does not know this access key, or its session token is missing, wrong or \
             has ended: renew the credentials, with all three values of one session"
        }
        Reason::AccessDenied if said.contains(OTHER_SIGNATURE) => {
            "the secret access key does not belong to the access key, or is not complete: copy \
             both again"
        }
        Reason::NotAuthorized if said.contains("is not authorized to access this resource") => {
            let arn = identity(said).unwrap_or("arn:..");
            let role = role(user);
            return Some(
                format!(
                    "run as admin: AWS IAM GRANT {role} TO '{arn}'; if that is done, check that \
                     the identity belongs to the cluster's account"
                )
                .into(),
            );
        }
        Reason::NotAuthorized => {
            "allow the action that the message names on the cluster's ARN for this identity; a new \
             policy can take over a minute to be effective"
        }
        Reason::RoleMissing if user != "admin" && user.eq_ignore_ascii_case("admin") => {
            "write the role `admin` in lower case"
        }
        Reason::RoleMissing => {
            let role = role(user);
            return Some(
                format!(
                    "run as admin: CREATE ROLE {role} WITH LOGIN, then AWS IAM GRANT {role} TO the \
                     ARN of this identity"
                )
                .into(),
            );
        }
        _ => return None,
    };
    Some(remedy.into())
}

/// Returns the ARN of the identity in a refusal of IAM.
pub(crate) fn identity(said: &str) -> Option<&str> {
    let (_, rest) = said.split_once("User: ")?;
    let (arn, _) = rest.split_once(" is not authorized")?;
    arn.starts_with("arn:").then_some(arn)
}

/// Returns a role's name in SQL.
fn role(user: &str) -> Cow<'_, str> {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    match user.bytes().all(is_plain) && !user.starts_with(|c: char| c.is_ascii_digit()) {
        true => Cow::Borrowed(user),
        false => format!("\"{}\"", user.replace('"', "\"\"")).into(),
    }
}

impl Signed {
    /// Returns a text if the credentials had expired when they signed.
    fn expired(self) -> Option<String> {
        let end = self.credentials_end.filter(|end| *end <= self.at)?;
        let ago = self.at.duration_since(end).unwrap_or_default();
        Some(format!(
            "they expired at {}, {} ago",
            clock::written(end),
            clock::Rounded(ago)
        ))
    }
}

/// Classifies a refusal of the server.
fn refused(error: &DbError) -> Reason {
    if let Some(reason) = ServerError::from(error).login_reason() {
        return reason;
    }
    let message = error.message().to_lowercase();
    let hint = error.hint().unwrap_or_default().to_lowercase();
    if let Some(cause) = message.strip_prefix("unable to accept connection, ") {
        return match cause {
            _ if cause.starts_with("access denied") => denied(&hint),
            _ if cause.starts_with("waking up") => Reason::WakingUp,
            _ if cause.starts_with("too many open connections") => Reason::TooManyConnections,
            _ if cause.starts_with("rate exceeded") => Reason::RateExceeded,
            _ if cause.starts_with("sni was not received") => Reason::ServerNameMissing,
            _ => Reason::Refused,
        };
    }
    if message.starts_with("iam authentication failed") {
        return Reason::AccessDenied;
    }
    // INVALID_PASSWORD is not in the table of SQLSTATEs: the table is read first, and a message is
    // more specific than this code.
    let is_about_role = message.starts_with("role ") && message.ends_with("does not exist");
    match is_about_role {
        true => Reason::RoleMissing,
        false if *error.code() == SqlState::INVALID_PASSWORD => Reason::AccessDenied,
        false => Reason::Refused,
    }
}

/// Classifies `access denied` by its HINT.
fn denied(hint: &str) -> Reason {
    if hint.starts_with("signature expired") {
        Reason::TokenExpired
    } else if hint.starts_with("wrong user to action mapping") {
        Reason::WrongAction
    } else if hint.contains("security token included in the request is expired")
        || hint.contains("expiredtoken")
    {
        Reason::CredentialsExpired
    } else if hint.contains("is not authorized to") {
        Reason::NotAuthorized
    } else {
        Reason::AccessDenied
    }
}

/// Classifies a failure below the protocol: of TLS or the socket.
fn interrupted(error: &io::Error) -> (Reason, Option<String>) {
    let said = Some(error.to_string());
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(certificate)) => {
            match clock::certificate(certificate) {
                Some((reason, said)) => (reason, Some(said)),
                None => (Reason::Certificate, said),
            }
        }
        // The server has no certificate for the name in the TLS hello.
        Some(rustls::Error::AlertReceived(
            AlertDescription::UnrecognisedName
            | AlertDescription::AccessDenied
            | AlertDescription::InternalError,
        )) => (Reason::UnknownCluster, said),
        Some(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            let said = "it speaks TLS, but not PostgreSQL: an HTTPS server?";
            (Reason::Protocol, Some(said.to_owned()))
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            let said = "its answer to the TLS hello is not TLS: an HTTP server, or a PostgreSQL \
                        without direct TLS?";
            (Reason::Protocol, Some(said.to_owned()))
        }
        Some(_) => (Reason::Tls, said),
        None => match error.kind() {
            // The driver could not write the startup packet: a name or a setting contains NUL.
            io::ErrorKind::InvalidInput => (Reason::SettingRefused, said),
            io::ErrorKind::InvalidData => (Reason::Protocol, said),
            _ => (Reason::Interrupted, said),
        },
    }
}

/// rustls's word for a certificate that no trusted authority signed.
const UNKNOWN_ISSUER: &str = "UnknownIssuer";

/// AWS's message for an access key or a session token that it does not know.
const UNKNOWN_KEY: &str = "security token included in the request is invalid";

/// AWS's message for a signature by another secret.
const OTHER_SIGNATURE: &str = "signature we calculated does not match";
