use super::*;

fn config() -> Config {
    let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
    Config::new(endpoint.parse().unwrap())
}

#[test]
fn a_token_lives_from_a_second_to_a_week() {
    for seconds in [1, 900, 604_800] {
        assert!(config().token_ttl(Duration::from_secs(seconds)).is_ok());
    }
    for ttl in [
        Duration::ZERO,
        Duration::from_millis(999),
        Duration::from_secs(604_801),
    ] {
        assert!(config().token_ttl(ttl).is_err(), "{ttl:?}");
    }
}

#[test]
fn clones_are_equal_until_a_setting_differs() {
    let keys = aws_credential_types::Credentials::new("a", "b", None, None, "test");
    let one = config()
        .credentials(keys)
        .time_source(aws_smithy_async::time::SystemTimeSource::new())
        .resolver(|_, _| async { Ok(Vec::new()) });
    assert!(one == one.clone());
    assert!(one != config());
    assert!(config() == config());
    let others = [
        config().user("game"),
        config().port(1),
        config().search_path("games"),
        config().connect_timeout(Duration::from_secs(1)),
        config().max_lifetime(Duration::from_secs(1)),
        config().statement_timeout(Duration::from_secs(1)),
    ];
    for other in others {
        assert!(other != config(), "{other:?}");
    }
}

#[test]
fn roots_compare_by_value_and_tls_configurations_by_clone() {
    let pem = crate::corpus::kept("pem");
    let read = |name| {
        let (_, pem) = pem.iter().find(|(kept, _)| kept == name).unwrap();
        config().root_certificates_pem(pem).unwrap()
    };
    assert!(read("one.pem") == read("one.pem"));
    assert!(read("one.pem") != read("bundle.pem"));
    assert!(read("one.pem") != config());

    let tls = || Arc::new(crate::tls::client_config(&Trust::BuiltIn).unwrap());
    let one = tls();
    assert!(config().tls_config(Arc::clone(&one)) == config().tls_config(one.clone()));
    assert!(config().tls_config(one) != config().tls_config(tls()));
}

#[test]
fn only_a_setting_that_cannot_be_sent_is_refused() {
    for name in ["TimeZone", "statement_timeout", "dsql.x", "amzn-cluster-id"] {
        let config = config().setting(name, "a b").unwrap();
        assert_eq!(config.settings.get(&name.to_lowercase()), Some("a b"));
    }
    for (name, value) in [
        ("", "x"),
        ("a b", "x"),
        ("a=b", "x"),
        ("caf\u{e9}", "x"),
        ("a\0", "x"),
        ("timezone", "UTC\0"),
    ] {
        let error = config().setting(name, value).unwrap_err();
        assert!(matches!(error, ConfigError::Setting { .. }), "{error}");
    }
}

#[test]
fn no_value_of_a_setting_is_printed() {
    let config = config().setting("pasword", "hunter2").unwrap();
    let printed = format!("{config:?}");
    assert!(printed.contains("pasword") && !printed.contains("hunter2"));
}
