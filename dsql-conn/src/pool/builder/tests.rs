use super::*;

fn builder() -> Builder {
    let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
    Pool::builder(Config::new(endpoint.parse().unwrap()))
}

#[test]
fn a_lambda_pool_has_a_connection_for_each_invocation() {
    let read = ["1", "16", " 8 ", "0", "", "-1", "many", "4294967295"].map(invocations);
    assert_eq!(read, [1, 16, 8, 1, 1, 1, 1, 1_000]);
}

#[test]
fn every_variable_reaches_its_setting() {
    let names = [
        "DSQL_POOL_MAX_SIZE",
        "DSQL_POOL_MIN_IDLE",
        "DSQL_IDLE_TIMEOUT_SECONDS",
        "DSQL_CHECKOUT_TIMEOUT_SECONDS",
        "DSQL_PING_AFTER_SECONDS",
        "DSQL_PING_TIMEOUT_SECONDS",
    ];
    let value = |name| names.iter().position(|it| *it == name).map(|at| at + 3);
    let variable = |name| Ok(value(name).map(|value| value.to_string()));
    let read = builder().with_variables(variable).unwrap();
    let seconds = Duration::from_secs;
    let expected = builder()
        .max_size(3)
        .min_idle(4)
        .idle_timeout(seconds(5))
        .checkout_timeout(seconds(6))
        .ping_after(seconds(7))
        .ping_timeout(seconds(8));
    assert!(read.is_same(&expected), "{read:?}");
}

#[test]
fn a_wrong_variable_is_named() {
    for name in ["DSQL_POOL_MAX_SIZE", "DSQL_PING_TIMEOUT_SECONDS"] {
        let variable = |asked| Ok((asked == name).then(|| "some".to_owned()));
        let error = builder().with_variables(variable).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("some"), "{error}");
    }
}

#[test]
fn a_pool_of_size_0_is_refused_by_its_variable() {
    let variable = |asked| Ok((asked == "DSQL_POOL_MAX_SIZE").then(|| "0".to_owned()));
    let error = builder().with_variables(variable).unwrap_err().to_string();
    let expected = "DSQL_POOL_MAX_SIZE is \"0\"; it must be a whole number from 1";
    assert_eq!(error, expected);
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
