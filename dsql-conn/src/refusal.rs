//! Classifies the driver's error when a session could not be opened.
//!
//! Most refusals of the service are `unable to accept connection, ..` with the details in the HINT
//! field, under SQLSTATE 08006 or one that is not documented. The words decide:
//! [troubleshooting](
//! https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html).

mod clock;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::io;
use std::time::SystemTime;

use tokio_postgres::error::{DbError, SqlState};

use self::clock::{Skew, is_about_clock};
use crate::reason::Reason;
use crate::sqlstate::ServerError;

/// Returns the reason for a failed login, and the words that explain it. `signed` is the time at
/// which its token was signed, by this machine's clock.
pub(crate) fn classify(
    error: &tokio_postgres::Error,
    signed: SystemTime,
) -> (Reason, Option<String>) {
    if let Some(error) = error.as_db_error() {
        let said = match error.hint() {
            Some(hint) => format!("{}: {hint}", error.message()),
            None => error.message().to_owned(),
        };
        return match refused(error) {
            // Whatever the words are: the clock may be the cause.
            reason @ (Reason::TokenExpired | Reason::AccessDenied | Reason::Refused) => {
                match Skew::told(&said, signed) {
                    Some(skew) => (Reason::ClockSkew, Some(format!("{skew}; {said}"))),
                    None if is_about_clock(&said) => (Reason::ClockSkew, Some(said)),
                    None => (reason, Some(said)),
                }
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
                Some(said) => (Reason::ClockSkew, Some(said)),
                None => (Reason::Certificate, said),
            }
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
