//! Compares the tables of settings in `tuning.md` with the code: names, variables and defaults.

mod code;
mod page;

use std::collections::BTreeSet;
use std::time::Duration;

use dsql_conn::batches::Batches;
use dsql_conn::tokio_postgres::config::SslNegotiation;
use dsql_conn::{
    Builder, Config, Credentials, Outcomes, Peer, Pool, Reason, RetryPolicy, StatementSpans,
};

use self::code::{config_sources, setters, source};
use self::page::{Row, duration, is_unset, names, other_than, rows, text};

const HOME: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
const AWAY: &str = "zyxwvutsrqponmlkjihgfedc32.dsql.us-east-2.on.aws";

#[test]
fn each_setting_of_a_connection_is_on_the_page() {
    let mut expected = setters(&config_sources());
    assert!(expected.contains("resolver") && expected.contains("peer"));
    expected.insert("Config::new".to_owned());
    assert_eq!(names(&rows("Connections")), expected);
}

#[test]
fn each_setting_of_a_pool_is_on_the_page() {
    let mut expected = setters(&["pool/builder.rs".into()]);
    expected.insert("connect_timeout".to_owned());
    assert_eq!(names(&rows("Pool")), expected);
}

#[test]
fn each_setting_of_a_policy_is_on_the_page() {
    assert_eq!(names(&rows("Retries")), setters(&["retry.rs".into()]));
}

#[test]
fn each_setting_of_batches_is_on_the_page() {
    assert_eq!(names(&rows("Batches")), setters(&["batches.rs".into()]));
}

#[test]
fn variables_are_those_that_the_code_reads() {
    let code = source("config/environment.rs") + &source("config/pool.rs");
    let read: BTreeSet<String> = code
        .split('"')
        .filter(|text| text.starts_with("DSQL_"))
        .map(str::to_owned)
        .collect();
    let page = [rows("Connections"), rows("Pool")];
    let written = page.iter().flatten().flat_map(|row| row.variables.clone());
    assert_eq!(written.collect::<BTreeSet<_>>(), read);

    // The tables of `Config::from_env` tell which setting each of them is.
    let documented = code.lines().filter_map(|line| {
        let line = line.trim().strip_prefix("/// | `DSQL_")?;
        let (variable, rest) = line.split_once('`')?;
        let setting = rest.split_once("[`")?.1.split_once('`')?.0;
        Some((format!("DSQL_{variable}"), setting))
    });
    let mut compared = 0;
    for (variable, setting) in documented {
        let setting = match setting.split_once("::") {
            Some(("Peer", _)) => "peer",
            Some(("Endpoint", _)) => "Config::new",
            Some((_, name)) => name,
            None => setting,
        };
        let row = page.iter().flatten().find(|row| row.name == setting);
        assert!(
            row.is_some_and(|row| row.variables.contains(&variable)),
            "{variable} is {setting}: {row:?}"
        );
        compared += 1;
    }
    assert!(compared >= 20, "only {compared} were compared");
}

#[test]
fn defaults_of_connections_are_those_of_the_code() {
    let config = || Config::new(HOME.parse().unwrap());
    let debug = format!("{:?}", config());
    for Row { name, default, .. } in rows("Connections") {
        match default.as_str() {
            // Debug shows that nothing is set.
            default if is_unset(default) => match name.as_str() {
                "application_name" | "address" | "peer" => {
                    assert!(debug.contains(&format!("{name}: None")), "{name}: {debug}");
                }
                "search_path" | "setting" => assert!(debug.contains("settings: {}"), "{debug}"),
                "statement_timeout" => assert!(config().statement_timeout(None) == config()),
                // What is not set is looked up, in a way that only a connection shows.
                "resolver"
                | "credentials"
                | "profile"
                | "root_certificates"
                | "root_certificates_pem"
                | "tls_config"
                | "time_source" => {}
                _ => panic!("{name} has no default"),
            },
            "`DSQL_ENDPOINT` is required" => assert_eq!(name, "Config::new"),
            // `opening_ends_after_the_default_timeouts` compares it.
            _ if name == "connect_timeout" => {}
            default => {
                let set = |value: &str| with_setting(config(), &name, value);
                assert!(set(default) == config(), "{name} is not {default}");
                assert!(set(&other_than(default)) != config(), "{name}");
            }
        }
    }
}

/// The configuration with another value of a setting, written as on the page.
fn with_setting(config: Config, name: &str, value: &str) -> Config {
    match name {
        "user" => config.user(text(value)),
        "database" => config.database(text(value)),
        "port" => config.port(value.parse().unwrap()),
        "failover_after" => config.failover_after(duration(value)),
        "ssl_negotiation" => config.ssl_negotiation(match text(value) {
            "direct" => SslNegotiation::Direct,
            _ => SslNegotiation::Postgres,
        }),
        "password_in_startup_flight" => config.password_in_startup_flight(text(value) == "true"),
        "token_ttl" => config.token_ttl(duration(value)).unwrap(),
        "max_lifetime" => config.max_lifetime(duration(value)),
        "statement_spans" => config.statement_spans(match text(value) {
            "off" => StatementSpans::Off,
            _ => StatementSpans::WithSummary,
        }),
        _ => panic!("{name} is compared nowhere"),
    }
}

#[test]
fn defaults_of_pools_are_those_of_the_code() {
    let config = || Config::new(HOME.parse().unwrap());
    let server = || Pool::builder(config());
    let lambda = || Pool::lambda(config());
    for row in rows("Pool")
        .iter()
        .filter(|row| row.name != "connect_timeout")
    {
        let in_lambda = row.lambda.as_deref().expect("a value in Pool::lambda");
        compare(&row.name, &row.default, server);
        compare(&row.name, in_lambda, lambda);
    }
}

fn compare(name: &str, value: &str, builder: impl Fn() -> Builder) {
    let debug = format!("{:?}", builder());
    if is_unset(value) && name != "idle_timeout" {
        assert!(debug.contains(&format!("{name}: None")), "{name}: {debug}");
        return;
    }
    let set = |value: &str| format!("{:?}", with_pool_setting(builder(), name, value));
    assert_eq!(set(value), debug, "{name} is not {value}");
    assert_ne!(set(&other_than(value)), debug, "{name}");
}

fn with_pool_setting(builder: Builder, name: &str, value: &str) -> Builder {
    match name {
        "max_size" => builder.max_size(value.parse().unwrap()),
        "min_idle" => builder.min_idle(value.parse().unwrap()),
        "idle_timeout" if value == "none" => builder.idle_timeout(None),
        "idle_timeout" => builder.idle_timeout(duration(value)),
        "checkout_timeout" => builder.checkout_timeout(duration(value)),
        "ping_after" => builder.ping_after(duration(value)),
        "ping_timeout" => builder.ping_timeout(duration(value)),
        "retry_policy" => builder.retry_policy(match value.strip_prefix("timeout of ") {
            Some(value) => RetryPolicy::new().timeout(duration(value)),
            None if value == "`RetryPolicy::new()`" => RetryPolicy::new(),
            None => RetryPolicy::new().read_only(),
        }),
        _ => panic!("{name} is compared nowhere"),
    }
}

#[test]
fn defaults_of_policies_are_those_of_the_code() {
    for Row { name, default, .. } in rows("Retries") {
        let default = default.as_str();
        let changed = with_policy_setting(&name, &other_than(default));
        assert_ne!(changed, RetryPolicy::new(), "{name}");
        match default {
            "off" | "none" => {}
            _ => assert_eq!(
                with_policy_setting(&name, default),
                RetryPolicy::new(),
                "{name}"
            ),
        }
    }
}

#[test]
fn defaults_of_batches_are_those_of_the_code() {
    for Row { name, default, .. } in rows("Batches") {
        if is_unset(&default) {
            let debug = format!("{:?}", Batches::new());
            assert!(debug.contains(&format!("{name}: None")), "{name}: {debug}");
            continue;
        }
        let set = |value: &str| {
            let value = value.parse().expect("a number");
            match &*name {
                "max_rows" => Batches::new().max_rows(value),
                "max_bytes" => Batches::new().max_bytes(value),
                _ => panic!("{name} is compared nowhere"),
            }
        };
        assert_eq!(set(&default), Batches::new(), "{name}");
        assert_ne!(set(&other_than(&default)), Batches::new(), "{name}");
    }
}

fn with_policy_setting(name: &str, value: &str) -> RetryPolicy {
    let policy = RetryPolicy::new();
    let two = || {
        let (base, cap) = value.split_once(", ").unwrap();
        (duration(base), duration(cap))
    };
    match name {
        "max_attempts" => policy.max_attempts(value.parse().unwrap()),
        "timeout" => policy.timeout(duration(value)),
        "backoff" => policy.backoff(two().0, two().1),
        "schema_backoff" => policy.schema_backoff(two().0, two().1),
        "idempotent" => policy.idempotent(),
        "outcomes" => policy.outcomes(Outcomes::default()),
        "read_only" => policy.read_only(),
        _ => panic!("{name} is compared nowhere"),
    }
}

/// The timeout shows in the error of an opening whose name is never found.
#[tokio::test(start_paused = true)]
async fn opening_ends_after_the_default_timeouts() {
    let keys = Credentials::new("id", "secret", None, None, "test");
    let config = Config::new(HOME.parse().unwrap())
        .credentials(keys)
        .resolver(|_, _| std::future::pending());
    let find = |section: &str| {
        let mut rows = rows(section).into_iter();
        rows.find(|row| row.name == "connect_timeout").unwrap()
    };
    let row = find("Pool");
    assert_eq!(find("Connections").default, row.default);

    let seconds = |value: &str| format!("after {:?}", duration(value));
    let error = config.connect().await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::TimedOut));
    assert!(
        error.to_string().contains(&seconds(&row.default)),
        "{error}"
    );

    let minute = Duration::from_secs(60);
    let pool = Pool::lambda(config).checkout_timeout(minute).build();
    let error = pool.get().await.unwrap_err();
    let expected = seconds(&row.lambda.unwrap());
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn a_peers_port_defaults_to_the_home_regions() {
    let config = Config::new(HOME.parse().unwrap()).port(5433);
    let peer = Peer::new(AWAY.parse().unwrap());
    let debug = format!("{:?}", config.peer(peer).unwrap());
    assert!(debug.contains("address: None, port: None"), "{debug}");
}
