use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::config::{Source, StatementSpans, Trust};
use crate::corpus::{mistaken, walk};

const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

fn read(variables: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Config::read(|name| Ok(variables.get(name).map(ToString::to_string)))
}

#[test]
fn every_variable_reaches_its_setting() {
    let config = read(&[
        ("DSQL_ENDPOINT", HOST),
        ("DSQL_USER", "game"),
        ("DSQL_DATABASE", "other"),
        ("DSQL_SEARCH_PATH", "games"),
        ("DSQL_APPLICATION_NAME", "api"),
        ("DSQL_HOSTADDR", "127.0.0.1"),
        ("DSQL_PORT", "6432"),
        ("DSQL_CONNECT_TIMEOUT_SECONDS", "2.5"),
        ("DSQL_STATEMENT_TIMEOUT_SECONDS", "3"),
        ("DSQL_MAX_LIFETIME_SECONDS", "4"),
        ("DSQL_STATEMENT_SPANS", "summary"),
        ("AWS_LAMBDA_FUNCTION_NAME", "generate-game"),
    ])
    .unwrap();
    assert_eq!(config.endpoint.host(), HOST);
    assert_eq!(config.user, "game");
    assert_eq!(config.database, "other");
    assert_eq!(config.settings.get("search_path"), Some("games"));
    assert_eq!(config.application_name.as_deref(), Some("api"));
    assert_eq!(config.address, Some([127, 0, 0, 1].into()));
    assert_eq!(config.port, 6432);
    assert_eq!(config.connect_deadline(), Duration::from_millis(2500));
    assert_eq!(config.statement_timeout, Some(Duration::from_secs(3)));
    assert_eq!(config.max_lifetime, Duration::from_secs(4));
    assert_eq!(config.statement_spans, StatementSpans::WithSummary);
}

#[test]
fn sessions_have_the_name_of_the_lambda_function() {
    let function = ("AWS_LAMBDA_FUNCTION_NAME", "generate-game");
    let config = read(&[("DSQL_ENDPOINT", HOST), function]).unwrap();
    assert_eq!(config.session_name(), Some("generate-game"));
}

#[test]
fn the_system_roots_are_the_built_in_ones() {
    let config = read(&[("DSQL_ENDPOINT", HOST), ("DSQL_CA_FILE", "system")]).unwrap();
    assert!(config.trust == Trust::BuiltIn);
}

#[test]
fn a_cluster_id_takes_the_nearest_region() {
    let id = &HOST[..26];
    let region = |variables: &[(&'static str, &str)]| {
        let variables = [variables, &[("DSQL_ENDPOINT", id)]].concat();
        read(&variables).map(|config| config.endpoint.region().to_owned())
    };
    let ambient = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_DEFAULT_REGION", "eu-west-2"),
    ];
    assert_eq!(region(&ambient).unwrap(), "eu-west-1");
    assert_eq!(region(&ambient[1..]).unwrap(), "eu-west-2");
    let explicit = [&ambient[..], &[("DSQL_REGION", "us-east-2")]].concat();
    assert_eq!(region(&explicit).unwrap(), "us-east-2");
    let error = region(&[]).unwrap_err().to_string();
    assert!(error.contains("DSQL_REGION"), "{error}");
}

#[test]
fn a_host_name_has_its_region_and_may_not_be_contradicted() {
    let config = read(&[("DSQL_ENDPOINT", HOST), ("AWS_REGION", "eu-west-1")]).unwrap();
    assert_eq!(config.endpoint.region(), "us-east-1");
    let error = read(&[("DSQL_ENDPOINT", HOST), ("DSQL_REGION", "eu-west-1")]).unwrap_err();
    let error = error.to_string();
    assert!(
        ["us-east-1", "eu-west-1", "DSQL_REGION"]
            .iter()
            .all(|it| error.contains(it)),
        "{error}"
    );
}

#[test]
fn a_missing_endpoint_names_its_variable() {
    for variables in [&[][..], &[("DSQL_ENDPOINT", "")]] {
        let error = read(variables).unwrap_err();
        assert!(error.to_string().contains("DSQL_ENDPOINT"), "{error}");
    }
}

#[test]
fn a_wrong_value_is_named_with_what_it_must_be() {
    for (name, value) in [
        ("DSQL_HOSTADDR", "localhost"),
        ("DSQL_PORT", "70000"),
        ("DSQL_PORT", "0"),
        ("DSQL_SSLNEGOTIATION", "maybe"),
        ("DSQL_STATEMENT_SPANS", "maybe"),
        ("DSQL_VPC_ENDPOINT", "vpce-1"),
        ("DSQL_CA_FILE", "/does/not/exist.pem"),
        ("DSQL_CONNECT_TIMEOUT_SECONDS", "0"),
        ("DSQL_CONNECT_TIMEOUT_SECONDS", "-1"),
        ("DSQL_MAX_LIFETIME_SECONDS", "NaN"),
        ("DSQL_MAX_LIFETIME_SECONDS", "1e300"),
    ] {
        let error = read(&[("DSQL_ENDPOINT", HOST), (name, value)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(value), "{error}");
        let is_about_pem = error.contains("PEM");
        assert!(!is_about_pem, "{error}");
        assert_eq!(error.contains("check the path"), name == "DSQL_CA_FILE");
        assert!(
            error.contains(name) || name == "DSQL_VPC_ENDPOINT",
            "{error}"
        );
    }
}

#[test]
fn a_url_in_the_wrong_place_keeps_its_password() {
    const URL: &str = "postgres://admin:hunter2@host/postgres";
    for name in [
        "DSQL_HOSTADDR",
        "DSQL_PORT",
        "DSQL_SSLNEGOTIATION",
        "DSQL_VPC_ENDPOINT",
        "DSQL_CA_FILE",
        "DSQL_CONNECT_TIMEOUT_SECONDS",
    ] {
        let error = read(&[("DSQL_ENDPOINT", HOST), (name, URL)]).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn corpus_inputs_are_read_with_any_mistake() {
    walk("environment", read_lines);
}

/// Reads an environment with one variable on each line, and checks the configuration against it.
fn read_lines(lines: &[u8]) {
    let lines = String::from_utf8_lossy(lines);
    let variables: HashMap<_, _> = lines
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let variable = |name| {
        variables
            .get(name)
            .copied()
            .filter(|value| !value.is_empty())
    };
    let read = Config::read(|name| Ok(variables.get(name).map(ToString::to_string)));
    match read {
        Ok(config) => {
            let endpoint = &config.endpoint;
            let name = variable("DSQL_ENDPOINT").unwrap();
            assert!([endpoint.host(), endpoint.cluster_id()].contains(&name));
            if let Some(region) = variable("DSQL_REGION") {
                assert_eq!(endpoint.region(), region);
            }
            let interface = Some(endpoint.dialed()).filter(|dialed| *dialed != endpoint.host());
            assert_eq!(interface, variable("DSQL_VPC_ENDPOINT"));
            assert_eq!(config.user, variable("DSQL_USER").unwrap_or("admin"));
            assert_eq!(
                config.settings.get("search_path"),
                variable("DSQL_SEARCH_PATH")
            );
            assert_eq!(
                config.port,
                variable("DSQL_PORT").map_or(5432, |port| port.parse().unwrap())
            );
        }
        Err(error) => assert!(
            !lines.contains('@') || !error.to_string().contains("hunter2"),
            "{error}"
        ),
    }
}

proptest! {
    #[test]
    fn no_mistakes_panic(lines in mistaken("environment")) {
        read_lines(&lines);
    }

    #[test]
    fn no_value_panics(port in ".*", address in ".*", timeout in ".*") {
        let _ = read(&[
            ("DSQL_ENDPOINT", HOST),
            ("DSQL_PORT", &port),
            ("DSQL_HOSTADDR", &address),
            ("DSQL_CONNECT_TIMEOUT_SECONDS", &timeout),
        ]);
    }
}

#[test]
fn variables_with_an_access_key_bring_their_credentials() {
    const KEY: (&str, &str) = ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE");
    const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "hidden");

    let endpoint = ("DSQL_ENDPOINT", HOST);
    let config = Config::from_variables([endpoint, KEY, SECRET, ("PATH", "/bin")]).unwrap();
    assert!(matches!(config.credentials, Source::Provider(_)));
    let config = Config::from_variables([endpoint]).unwrap();
    assert!(matches!(config.credentials, Source::Found));
    let half = Config::from_variables([endpoint, KEY]).unwrap_err();
    assert_eq!(
        half.to_string(),
        "the environment variable AWS_SECRET_ACCESS_KEY is not set; set it to the other half of \
         the access key"
    );
}
