//! Refusals that look like another cause, and remedies for one case only.

use std::io;
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use super::{Reason, Signed, at, classify, interrupted, remedy};
use crate::scripted::{error, login_error};

#[test]
fn credentials_past_their_end_are_reported_as_expired() {
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
fn another_case_of_admin_is_corrected() {
    let said = Some("role \"Admin\" does not exist");
    let told = |user| remedy(Reason::RoleMissing, said, user).unwrap();
    assert_eq!(told("Admin"), "write the role `admin` in lower case");
    assert!(told("game").contains("CREATE ROLE game WITH LOGIN"));
}

#[test]
fn certificate_dates_are_reported_with_this_machines_time() {
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
}

#[test]
fn an_unknown_authority_names_the_setting_for_its_file() {
    let error = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let (reason, said) = interrupted(&io::Error::new(io::ErrorKind::InvalidData, error));
    assert_eq!(reason, Reason::Certificate);
    let told = remedy(reason, said.as_deref(), "admin").unwrap();
    for setting in ["DSQL_CA_FILE", "Config::root_certificates_pem"] {
        assert!(told.contains(setting), "{told}");
    }
}

#[test]
fn tls_alerts_tell_an_unknown_cluster_from_broken_tls() {
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
