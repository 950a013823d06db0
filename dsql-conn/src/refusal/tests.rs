use std::time::Duration;

use dsql_local::{Action, Flaw, Refusal};
use proptest::prelude::*;
use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::*;
use crate::corpus::{kept, mistaken, walk};
use crate::scripted::{error, login_error, message};

/// The server's time in the kept refusal of an expired token.
const SIGNED: &str = "20260923T101600Z";

fn at(time: &str) -> SystemTime {
    clock::timestamp(time).unwrap()
}

/// A token of credentials that do not end.
fn signed(at: SystemTime) -> Signed {
    Signed {
        at,
        credentials_end: None,
    }
}

fn classified(said: &[u8]) -> (Reason, Option<String>) {
    let error = login_error(said).expect("it is an error");
    classify(&error, signed(at(SIGNED)))
}

/// Classifies an `access denied` with this hint, for a token that was signed at this time.
fn denied_at(time: &str, hint: &str) -> (Reason, String) {
    let message = "unable to accept connection, access denied";
    let said = error("FATAL", "08006", message, Some(hint));
    let (reason, said) = classify(&login_error(&said).unwrap(), signed(at(time)));
    (reason, said.unwrap())
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

/// The connection may end anywhere in the server's message.
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
            Reason::DatabaseMissing,
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
        let (told, _) = classify(&login_error(&said).unwrap(), signed(SystemTime::now()));
        assert_eq!(told, reason, "{refusal:?}");
    }
}

#[test]
fn a_wrong_clock_is_told_by_how_much() {
    // Each token was signed at 10:00; the words are those of SigV4, of this crate's local cluster,
    // and others that repeat the time of signing.
    for (hint, said) in [
        (
            "Signature expired: 20260923T101500Z is now earlier than 20260923T105900Z \
             (20260923T110400Z - 5 min.)",
            "this machine's clock is 1 h 4 min behind the server's",
        ),
        (
            "Signature expired: 20260923T101500Z is now earlier than 20260923T101601Z",
            "this machine's clock is 16 min 1 s behind the server's",
        ),
        (
            "Signature not yet current: 20260923T100000Z is still later than 20260923T090100Z \
             (20260923T085600Z + 5 min.)",
            "this machine's clock is 1 h 4 min ahead of the server's",
        ),
        (
            "The request is dated 20260923T100000Z and was received at 20260921T090000Z",
            "this machine's clock is 2 d 1 h ahead of the server's",
        ),
        (
            "At 2026-09-23T10:30:00.123Z came a request of 2026-09-23T10:00:00Z.",
            "this machine's clock is 30 min 0 s behind the server's",
        ),
    ] {
        let (reason, words) = denied_at("20260923T100000Z", hint);
        assert_eq!(reason, Reason::ClockSkew, "{hint}");
        assert!(words.starts_with(&format!("{said}; ")), "{words}");
        assert!(words.ends_with(hint), "{words}");
    }
    for hint in ["Signature not yet current", "RequestTimeTooSkewed"] {
        assert_eq!(denied_at(SIGNED, hint).0, Reason::ClockSkew, "{hint}");
    }
}

#[test]
fn a_clock_that_is_right_is_not_blamed() {
    for (hint, reason) in [
        // The credentials expired, not the clock.
        (
            "Signature expired: 20260923T094500Z is now earlier than 20260923T100001Z",
            Reason::TokenExpired,
        ),
        (
            "Signature expired: 20260923T095900Z is now earlier than 20260923T100459Z",
            Reason::TokenExpired,
        ),
        ("Signature expired: 20260923T090000Z", Reason::TokenExpired),
        ("Signature expired", Reason::TokenExpired),
        // Times that have nothing to do with the token's.
        (
            "Blocked from 20260901T000000Z until 20260930T000000Z",
            Reason::AccessDenied,
        ),
        (
            "The request is dated 20260923T100000Z",
            Reason::AccessDenied,
        ),
        ("99999999T999999Z 20260923T100000Z", Reason::AccessDenied),
    ] {
        let (told, words) = denied_at("20260923T100000Z", hint);
        assert_eq!(told, reason, "{words}");
    }
}

#[test]
fn credentials_that_had_ended_are_said_to_have_expired() {
    let message = "unable to accept connection, access denied";
    for hint in [
        "Signature expired: 20260923T094500Z is now earlier than 20260923T100001Z",
        "The security token included in the request is expired",
        "The security token included in the request is invalid.",
    ] {
        let said = error("FATAL", "08006", message, Some(hint));
        let told = |credentials_end| {
            let at = at("20260923T100000Z");
            let token = Signed {
                at,
                credentials_end,
            };
            classify(&login_error(&said).unwrap(), token)
        };
        let (reason, said) = told(Some(at("20260923T080000Z")));
        assert_eq!(reason, Reason::CredentialsExpired, "{hint}");
        let expected =
            format!("they expired at 2026-09-23T08:00:00Z, 2 h 0 min ago; {message}: {hint}");
        assert_eq!(said, Some(expected));
        for end in [None, Some(at("20260923T110000Z"))] {
            let (reason, said) = told(end);
            let is_told = hint.ends_with("is expired");
            assert_eq!(reason == Reason::CredentialsExpired, is_told, "{hint}");
            assert_eq!(said, Some(format!("{message}: {hint}")));
        }
    }
}

#[test]
fn a_missing_grant_is_ready_to_be_pasted() {
    let said = "unable to accept connection, access denied: User: arn:aws:iam::1:role/api is not \
                authorized to access this resource";
    for (user, statement) in [
        ("game", "AWS IAM GRANT game TO 'arn:aws:iam::1:role/api'"),
        (
            "a \"b",
            "AWS IAM GRANT \"a \"\"b\" TO 'arn:aws:iam::1:role/api'",
        ),
    ] {
        let told = remedy(Reason::NotAuthorized, Some(said), user).unwrap();
        assert!(told.contains(statement), "{told}");
    }
}

#[test]
fn a_certificates_dates_are_told_with_this_machines_time() {
    let time = |hours: u64| UnixTime::since_unix_epoch(Duration::from_secs(3_600 * hours));
    let (early, late) = (time(1), time(3));
    let told = |error: CertificateError| {
        let error = rustls::Error::InvalidCertificate(error);
        let (reason, said) = interrupted(&io::Error::new(io::ErrorKind::InvalidData, error));
        (reason, said.unwrap())
    };
    for (error, expected, words) in [
        (
            CertificateError::NotValidYetContext {
                time: early,
                not_before: late,
            },
            Reason::ClockSkew,
            "is not valid for another 2 h 0 min (it is 1970-01-01T01:00:00Z here)",
        ),
        (
            CertificateError::ExpiredContext {
                time: late,
                not_after: early,
            },
            Reason::Certificate,
            "expired 2 h 0 min ago (it is 1970-01-01T03:00:00Z here)",
        ),
        (
            CertificateError::NotValidYet,
            Reason::ClockSkew,
            "is not valid yet",
        ),
        (
            CertificateError::Expired,
            Reason::Certificate,
            "has expired",
        ),
    ] {
        let (reason, said) = told(error);
        assert_eq!(reason, expected, "{said}");
        assert!(said.contains(words), "{said}");
        assert!(
            remedy(reason, Some(&said), "admin")
                .unwrap()
                .contains("clock")
        );
    }
    let (reason, _) = told(CertificateError::UnknownIssuer);
    assert_eq!(reason, Reason::Certificate);
}

#[test]
fn a_server_that_is_no_cluster_is_told_apart_from_a_broken_hello() {
    let told =
        |error: rustls::Error| interrupted(&io::Error::new(io::ErrorKind::InvalidData, error)).0;
    for (alert, reason) in [
        (AlertDescription::UnrecognisedName, Reason::UnknownCluster),
        (AlertDescription::AccessDenied, Reason::UnknownCluster),
        (AlertDescription::NoApplicationProtocol, Reason::Protocol),
        (AlertDescription::ProtocolVersion, Reason::Tls),
    ] {
        assert_eq!(told(rustls::Error::AlertReceived(alert)), reason);
    }
    let not_tls = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    assert_eq!(told(not_tls), Reason::Protocol);
}

#[test]
fn bad_settings_are_reported_in_the_servers_words() {
    for (code, message) in [
        (
            "0A000",
            "setting configuration parameter \"statement_timeout\" not supported",
        ),
        ("22023", "invalid value for parameter \"TimeZone\": \"x\""),
        ("42704", "unrecognized configuration parameter \"x\""),
    ] {
        let (reason, said) = classified(&error("FATAL", code, message, None));
        assert_eq!(
            (reason, said.as_deref()),
            (Reason::SettingRefused, Some(message))
        );
    }
}

/// Checks that any message ends the login, and that the error is not much longer than the message.
fn read(said: &[u8]) {
    if let Some(error) = login_error(said) {
        let (_, words) = classify(&error, signed(at(SIGNED)));
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
    fn no_bytes_panic(
        tag in any::<u8>(),
        body in prop::collection::vec(any::<u8>(), 0..99),
        rest in prop::collection::vec(any::<u8>(), 0..9),
    ) {
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
    fn the_words_of_a_refusal_are_repeated(
        code in "[0-9A-Z]{5}",
        text in "[^\0]{1,30}",
        hint in prop::option::of("[^\0]{1,30}"),
    ) {
        let (_, said) = classified(&error("FATAL", &code, &text, hint.as_deref()));
        let expected = match hint {
            Some(hint) => format!("{text}: {hint}"),
            None => text,
        };
        prop_assert_eq!(said, Some(expected));
    }
}
