use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;
use tokio_postgres::config::{Host, SslNegotiation};

use super::*;
use crate::config::Trust;
use crate::corpus::{mistaken, walk};

const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

#[test]
fn every_part_reaches_its_setting() {
    let config: Config = format!(
        "postgresql://game%20one@{HOST}:6432/other?sslmode=verify-full&sslnegotiation=direct\
         &search_path=a%2C%20b\
         &application_name=api&connect_timeout=5&hostaddr=127.0.0.1"
    )
    .parse()
    .unwrap();
    assert_eq!(config.endpoint.host(), HOST);
    assert_eq!(config.user, "game one");
    assert_eq!(config.port, 6432);
    assert_eq!(config.database, "other");
    assert_eq!(config.settings.get("search_path"), Some("a, b"));
    assert_eq!(config.application_name.as_deref(), Some("api"));
    assert_eq!(config.connect_deadline(), Duration::from_secs(5));
    assert_eq!(config.address, Some([127, 0, 0, 1].into()));
}

#[test]
fn a_setting_that_is_left_out_keeps_its_default() {
    let config: Config = format!("postgres://{HOST}").parse().unwrap();
    assert_eq!(
        (&*config.user, &*config.database, config.port),
        ("admin", "postgres", 5432)
    );
}

#[test]
fn a_cluster_id_may_stand_for_the_host_with_its_region() {
    let config: Config = format!("postgres://{}/?region=eu-west-1", &HOST[..26])
        .parse()
        .unwrap();
    assert_eq!(config.endpoint.region(), "eu-west-1");
    assert!(
        format!("postgres://{HOST}/?region=eu-west-1")
            .parse::<Config>()
            .is_err()
    );
}

#[test]
fn parameters_with_no_or_a_weaker_effect_are_refused() {
    for (url, named) in [
        (format!("mysql://{HOST}"), "mysql"),
        (format!("postgres://admin:hunter2@{HOST}"), "password"),
        (format!("postgres://{HOST}?password=hunter2"), "password"),
        (format!("postgres://{HOST}?sslmode=prefer"), "prefer"),
        (format!("postgres://{HOST}?sslmode=disable"), "disable"),
        (
            format!("postgres://{HOST}?channel_binding=require"),
            "channel_binding",
        ),
        (format!("postgres://{HOST}?options=-c%20a%3Db"), "options"),
        (format!("postgres://{HOST}?a%20b=x"), "a b"),
        (format!("postgres://{HOST}?connect_timeout=soon"), "soon"),
        ("postgres://localhost/postgres".to_owned(), "localhost"),
        ("not a url".to_owned(), "connection URL"),
    ] {
        let error = url.parse::<Config>().unwrap_err().to_string();
        assert!(error.contains(named), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// The server refuses the settings that it does not have.
#[test]
fn any_other_parameter_is_a_setting_of_the_session() {
    let url = format!("postgres://{HOST}?statement_timeout=5&TimeZone=UTC");
    let config: Config = url.parse().unwrap();
    let settings: Vec<_> = config.settings.iter().collect();
    assert_eq!(settings, [("statement_timeout", "5"), ("timezone", "UTC")]);
}

#[test]
fn the_system_roots_are_the_built_in_ones() {
    let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/pem/one.pem");
    for (roots, is_built_in) in [
        ("system".to_owned(), true),
        (format!("{pem}&sslrootcert=system"), true),
        (pem.to_owned(), false),
    ] {
        let url = format!("postgres://{HOST}?sslmode=verify-full&sslrootcert={roots}");
        let config: Config = url.parse().unwrap();
        assert_eq!(config.trust == Trust::BuiltIn, is_built_in, "{url}");
    }
}

#[test]
fn the_last_of_two_regions_counts() {
    let url = format!(
        "postgres://{}?region=eu-west-1&region=eu-west-2",
        &HOST[..26]
    );
    let config: Config = url.parse().unwrap();
    assert_eq!(config.endpoint.region(), "eu-west-2");
}

#[test]
fn parts_that_are_not_text_or_would_be_lost_are_refused() {
    for (rest, named) in [
        (":0", "its port is 0"),
        ("?application_name=%FF", "UTF-8"),
        ("?%FF=x", "UTF-8"),
        ("/%FF", "UTF-8"),
        ("?application_name=a\nb", "line end"),
        ("?application_name", "no value"),
        ("?application_name=a%00b", "NUL"),
        ("/%00", "NUL"),
        ("?password-hunter2", "no value"),
    ] {
        let url = format!("postgres://{HOST}{rest}");
        let error = url.parse::<Config>().unwrap_err().to_string();
        assert!(error.contains(named), "{url}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn corpus_inputs_are_read_with_any_mistake() {
    walk("url", |url| read(&String::from_utf8_lossy(url)));
}

/// Checks that a URL's settings are no longer than the URL, and that an error repeats no password.
fn read(url: &str) {
    match url.parse::<Config>() {
        Ok(config) => {
            let settings = config.settings.iter();
            let settings = settings.map(|(_, value)| value.len()).sum::<usize>();
            let application_name = config.application_name.as_deref().unwrap_or_default();
            assert!(settings + application_name.len() <= url.len());
            assert!(
                ["admin", "postgres"].contains(&&*config.user) || config.user.len() <= url.len()
            );
        }
        Err(error) => assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}"),
    }
}

/// Everything but `+`, which is literal.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'+');

proptest! {
    /// The driver parses the same URLs by itself.
    #[test]
    fn a_url_means_the_same_to_the_driver(
        user in "[^\0]{1,9}",
        database in "[^\0]{1,9}",
        application_name in "[^\0]{0,9}|[a+% ]{0,9}",
        port in 1..=u16::MAX,
        seconds in 1..100_000_u64,
        hostaddr in any::<std::net::IpAddr>(),
        direct in any::<bool>(),
    ) {
        // A URL parser resolves these as folders, even when they are encoded.
        prop_assume!(database != "." && database != "..");
        let encode = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
        let url = format!(
            "postgres://{}@{HOST}:{port}/{}?application_name={}\
             &connect_timeout={seconds}&hostaddr={}&sslmode=require\
             &sslnegotiation={}",
            encode(&user),
            encode(&database),
            encode(&application_name),
            encode(&hostaddr.to_string()),
            if direct { "direct" } else { "postgres" },
        );
        let ours: Config = url.parse().unwrap();
        let drivers: tokio_postgres::Config = url.parse().unwrap();
        let host = Host::Tcp(ours.endpoint.host().to_owned());
        prop_assert_eq!(drivers.get_hosts(), [host]);
        prop_assert_eq!(drivers.get_user(), Some(&*ours.user));
        prop_assert_eq!(drivers.get_dbname(), Some(&*ours.database));
        prop_assert_eq!(drivers.get_application_name(), ours.application_name.as_deref());
        prop_assert_eq!(drivers.get_ports(), [ours.port]);
        prop_assert_eq!(drivers.get_connect_timeout(), Some(&ours.connect_deadline()));
        prop_assert_eq!(drivers.get_hostaddrs(), [ours.address.unwrap()]);
        prop_assert_eq!(drivers.get_ssl_negotiation() == SslNegotiation::Direct, direct);
        prop_assert_eq!(ours.negotiation == SslNegotiation::Direct, direct);
        prop_assert_eq!((ours.user, ours.database), (user, database));
    }

    #[test]
    fn no_mistakes_panic(url in mistaken("url")) {
        let _ = String::from_utf8_lossy(&url).parse::<Config>();
    }

    #[test]
    fn no_string_panics(text in ".*") {
        let _ = text.parse::<Config>();
    }

    #[test]
    fn no_parameter_panics(name in ".*", value in ".*") {
        let _ = format!("postgres://{HOST}?{name}={value}").parse::<Config>();
    }
}
