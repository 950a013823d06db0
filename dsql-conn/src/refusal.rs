//! Reads what kept a session from being opened out of the driver's error.
//!
//! The service answers most refusals as `unable to accept connection, ..` with the particulars in the HINT field, under
//! SQLSTATE 08006 or one that is not documented, so that the words decide:
//! [troubleshooting](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html).

use std::{error::Error as StdError, io};

use tokio_postgres::error::{DbError, SqlState};

use crate::{error::Reason, sqlstate::ServerError};

/// Returns the reason behind a failed login, and the words that explain it.
pub(crate) fn classify(error: &tokio_postgres::Error) -> (Reason, Option<String>) {
    if let Some(error) = error.as_db_error() {
        let said = match error.hint() {
            Some(hint) => format!("{}: {hint}", error.message()),
            None => error.message().to_owned(),
        };
        return (refused(error), Some(said));
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

/// Reads a refusal of the server.
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

/// Reads the HINT of `access denied`.
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

/// Reads a failure below the protocol: TLS, or the socket.
fn interrupted(error: &io::Error) -> (Reason, Option<String>) {
    let said = Some(error.to_string());
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => (Reason::Certificate, said),
        Some(_) => (Reason::Tls, said),
        None => match error.kind() {
            // The driver could not write the startup packet: there is a NUL in a name or a setting.
            io::ErrorKind::InvalidInput => (Reason::SettingRefused, said),
            io::ErrorKind::InvalidData => (Reason::Protocol, said),
            _ => (Reason::Interrupted, said),
        },
    }
}

#[cfg(test)]
mod tests {
    use dsql_local::{Action, Flaw, Refusal};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        corpus::{kept, mistaken, walk},
        scripted::{error, login_error, message},
    };

    fn classified(said: &[u8]) -> (Reason, Option<String>) {
        classify(&login_error(said).expect("it is an error"))
    }

    #[test]
    fn every_refusal_that_is_kept_is_told_apart() {
        for (name, said) in kept("refusal") {
            let (reason, _) = classified(&said);
            assert_eq!(format!("{reason:?}.bin"), name);
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("refusal", read);
    }

    /// The server's end may come anywhere in what it says, and is a lost connection then.
    #[test]
    fn half_a_refusal_is_an_interruption() {
        for (_, said) in kept("refusal") {
            for end in 0..said.len() {
                assert_eq!(classified(&said[..end]).0, Reason::Interrupted);
            }
        }
    }

    #[test]
    fn what_the_local_cluster_refuses_with_is_told_apart() {
        let user = || "game".to_owned();
        let arn = || "arn:aws:iam::123456789012:role/game".to_owned();
        for (refusal, reason) in [
            (Refusal::signature_expired(), Reason::TokenExpired),
            (Refusal::Token(Flaw::WrongSignature), Reason::AccessDenied),
            (
                Refusal::WrongAction {
                    user: user(),
                    action: Action::DbConnect,
                },
                Reason::WrongAction,
            ),
            (
                Refusal::NotAuthorized {
                    arn: arn(),
                    action: Action::DbConnect,
                    resource: arn(),
                },
                Reason::NotAuthorized,
            ),
            (Refusal::NotGranted { arn: arn() }, Reason::NotAuthorized),
            (
                Refusal::IamAuthenticationFailed { user: user() },
                Reason::AccessDenied,
            ),
            (Refusal::RoleMissing { role: user() }, Reason::RoleMissing),
            (Refusal::RoleCannotLogin { role: user() }, Reason::Refused),
            (
                Refusal::DatabaseMissing { database: user() },
                Reason::Refused,
            ),
            (
                Refusal::ParameterNotSupported { name: user() },
                Reason::SettingRefused,
            ),
            (Refusal::NoSni, Reason::ServerNameMissing),
            (Refusal::WakingUp, Reason::WakingUp),
            (Refusal::TooManyConnections, Reason::TooManyConnections),
            (Refusal::RateExceeded, Reason::RateExceeded),
        ] {
            let said = error(
                "FATAL",
                refusal.sqlstate(),
                &refusal.message(),
                refusal.hint().as_deref(),
            );
            assert_eq!(classified(&said).0, reason, "{refusal:?}");
        }
    }

    /// Checks that whatever a server says ends the login with what it said, and with no more than that.
    fn read(said: &[u8]) {
        if let Some(error) = login_error(said) {
            let (_, words) = classify(&error);
            let length = words.map_or(0, |words| words.len());
            assert!(
                length <= said.len() + 100,
                "{length} bytes of {}",
                said.len()
            );
        }
    }

    proptest! {
        #[test]
        fn no_mistakes_panic(said in mistaken("refusal")) {
            read(&said);
        }

        #[test]
        fn no_bytes_panic(tag in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..99), rest in prop::collection::vec(any::<u8>(), 0..9)) {
            read(&[message(tag, &body), rest].concat());
        }

        #[test]
        fn the_case_of_the_words_does_not_matter(
            (name, said) in prop::sample::select(kept("refusal")),
            upper in prop::collection::vec(any::<bool>(), 1..20),
        ) {
            let mut said = said;
            let words = said.windows(2).position(|start| start == b"\0M").unwrap() + 2;
            for (byte, upper) in said[words..].iter_mut().zip(upper.iter().cycle()) {
                if *upper {
                    byte.make_ascii_uppercase();
                }
            }
            prop_assert_eq!(format!("{:?}.bin", classified(&said).0), name);
        }

        #[test]
        fn the_words_of_a_refusal_are_repeated(code in "[0-9A-Z]{5}", text in "[^\0]{1,30}", hint in prop::option::of("[^\0]{1,30}")) {
            let (_, said) = classified(&error("FATAL", &code, &text, hint.as_deref()));
            let expected = match hint {
                Some(hint) => format!("{text}: {hint}"),
                None => text,
            };
            prop_assert_eq!(said, Some(expected));
        }
    }
}
