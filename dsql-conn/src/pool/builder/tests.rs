use super::*;
use crate::error::ConfigError;

const ENDPOINT: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";

fn builder() -> Builder {
    Pool::builder(Config::new(ENDPOINT.parse().unwrap()))
}

#[test]
fn a_lambda_pool_has_a_connection_for_each_invocation() {
    let read = ["1", "16", " 8 ", "0", "", "-1", "many", "4294967295"].map(invocations);
    assert_eq!(read, [1, 16, 8, 1, 1, 1, 1, 1_000]);
}

const VARIABLES: [&str; 6] = [
    "DSQL_POOL_MAX_SIZE",
    "DSQL_POOL_MIN_IDLE",
    "DSQL_IDLE_TIMEOUT_SECONDS",
    "DSQL_CHECKOUT_TIMEOUT_SECONDS",
    "DSQL_PING_AFTER_SECONDS",
    "DSQL_PING_TIMEOUT_SECONDS",
];

/// Reads a configuration from the endpoint and these variables.
fn read(variables: &[(&str, String)]) -> Result<Config, ConfigError> {
    let endpoint = ("DSQL_ENDPOINT", ENDPOINT.to_owned());
    Config::from_variables([endpoint].iter().chain(variables).cloned())
}

#[test]
fn every_variable_reaches_each_kind_of_pool() {
    let values = (3..).map(|value: u32| value.to_string());
    let config = read(&VARIABLES.into_iter().zip(values).collect::<Vec<_>>()).unwrap();
    let seconds = Duration::from_secs;
    let set = |builder: Builder| {
        builder
            .max_size(3)
            .min_idle(4)
            .idle_timeout(seconds(5))
            .checkout_timeout(seconds(6))
            .ping_after(seconds(7))
            .ping_timeout(seconds(8))
    };
    let settings = |config: &Config| Pool::new(config.clone()).0.settings.clone();
    for read in [
        Pool::builder(config.clone()),
        Pool::lambda(config.clone()),
        settings(&config),
        Pool::shared(config.clone()).0.settings.clone(),
    ] {
        assert!(read.is_same(&set(read.clone())), "{read:?}");
    }
    // The pool's own settings stay after the variables.
    assert_eq!(Pool::builder(config.clone()).max_size(9).max_size, 9);
    // What no variable sets keeps its default.
    let policy = Pool::lambda(config).retry_policy;
    assert_eq!(policy, RetryPolicy::new().timeout(2 * LAMBDA_TIMEOUT));
}

#[test]
fn a_wrong_variable_is_named() {
    for name in VARIABLES {
        let error = read(&[(name, "some".to_owned())]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("some"), "{error}");
        assert!(read(&[(name, String::new())]).is_ok(), "{name}");
    }
}

#[test]
fn a_pool_of_size_0_is_refused_by_its_variable() {
    let error = read(&[(VARIABLES[0], "0".to_owned())]).unwrap_err();
    let expected = "DSQL_POOL_MAX_SIZE is \"0\"; it must be a whole number from 1";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn builders_are_the_same_until_a_setting_differs() {
    let second = Duration::from_secs(1);
    assert!(builder().is_same(&builder()));
    for other in [
        builder().max_size(1),
        builder().min_idle(1),
        builder().idle_timeout(None),
        builder().checkout_timeout(second),
        builder().ping_after(second),
        builder().ping_timeout(2 * second),
        builder().hedge_delay(second),
        builder().settle_timeout(second),
        builder().name("games"),
        builder().retry_policy(RetryPolicy::new().idempotent()),
    ] {
        assert!(!other.is_same(&builder()), "{other:?}");
    }
}
