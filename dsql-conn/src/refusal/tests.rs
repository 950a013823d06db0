mod remedies;

use dsql_local::{Action, Flaw, Refusal};
use proptest::prelude::*;

use super::*;
use crate::corpus::{kept, mistaken, walk};
use crate::scripted::{error, login_error, message};

/// The server's time in the kept refusal of an expired token.
const SIGNED: &str = "20260923T101600Z";

fn at(time: &str) -> SystemTime {
    clock::timestamp(time).unwrap()
}

/// A token of credentials that do not expire.
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
fn every_refusal_of_the_corpus_is_classified() {
    for (name, said) in kept("refusal") {
        let (reason, _) = classified(&said);
        assert_eq!(format!("{reason:?}.bin"), name);
    }
}

#[test]
fn corpus_inputs_are_read_with_any_mistake() {
    walk("refusal", read);
}

/// The connection may end anywhere in the server's message.
#[test]
fn a_refusal_that_is_cut_short_is_an_interruption() {
    for (_, said) in kept("refusal") {
        for end in 0..said.len() {
            assert_eq!(classified(&said[..end]).0, Reason::Interrupted);
        }
    }
}

#[test]
fn refusals_of_the_local_cluster_are_classified() {
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
fn a_wrong_clock_is_reported_with_its_difference() {
    // Each token was signed at 10:00. The messages are those of SigV4, of this crate's local
    // cluster, and others that contain the time of signing.
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

/// The service may refuse a token for its time without naming one.
#[test]
fn a_refusal_without_a_time_has_a_remedy_for_the_clock() {
    let (reason, _) = denied_at(SIGNED, "no details");
    assert_eq!(reason, Reason::AccessDenied);
    assert!(reason.remedy().contains("this machine's clock"));
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
