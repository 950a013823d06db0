//! What it takes to sign a token, beside the way of the SDK's documentation: the first in a process, and those after it.

use std::{
    env, io,
    process::{Command, ExitCode},
    time::{Duration, Instant, SystemTime},
};

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_sdk_dsql::auth_token::{AuthTokenGenerator, Config as TokenConfig};
use aws_types::SdkConfig;
use benches::record;
use config::Config;
use criterion::Criterion;
use samples::{Samples, micros, nanos};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

#[expect(dead_code, reason = "every measurement uses a part of it")]
#[path = "support/samples.rs"]
mod samples;

/// The library's own file, which is private there.
#[path = "../../dsql-conn/src/token.rs"]
mod token;

/// What `token` uses of its crate.
mod config {
    pub(crate) struct Config {
        pub(crate) endpoint: dsql_conn::Endpoint,
        pub(crate) user: String,
        pub(crate) token_ttl: std::time::Duration,
    }
}

#[derive(Serialize)]
struct Row {
    program: &'static str,
    /// Of as many processes as `processes`.
    first_min_us: f64,
    first_p50_us: f64,
    processes: usize,
    next_min_ns: f64,
    next_p50_ns: f64,
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if env::var("AWS_ACCESS_KEY_ID").as_deref() != Ok(KEY_ID) {
        // Once more, with an environment that is known.
        let status = itself()?.args(arguments).status()?;
        return Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)));
    }
    match arguments.first().map(String::as_str) {
        Some(FIRST_OF_OURS) => println!("{}", first(ours).as_nanos()),
        Some(FIRST_OF_SDK) => println!("{}", first(sdk).as_nanos()),
        _ => measure()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn measure() -> io::Result<()> {
    let mut criterion = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut firsts = [Samples::default(), Samples::default()];
    for _ in 0..PROCESSES {
        for (samples, argument) in firsts.iter_mut().zip([FIRST_OF_OURS, FIRST_OF_SDK]) {
            let said = itself()?.arg(argument).output()?.stdout;
            let nanos = String::from_utf8_lossy(&said).trim().parse();
            samples.push(Duration::from_nanos(nanos.map_err(io::Error::other)?));
        }
    }

    let runtime = runtime();
    let config = config();
    let generator = generator();
    let sdk_config = runtime.block_on(loaded());
    let ours = |times| {
        time(times, || {
            runtime.block_on(sign(&config));
        })
    };
    let sdk = |times| {
        time(times, || {
            let signing = generator.db_connect_admin_auth_token(&sdk_config);
            runtime.block_on(signing).expect("a token");
        })
    };
    let nexts: [(_, &dyn Fn(u64) -> Duration); 2] =
        [("dsql-conn", &ours), ("aws-config + aws-sdk-dsql", &sdk)];
    let mut rows = Vec::new();
    for ((program, next), firsts) in nexts.into_iter().zip(firsts) {
        let mut samples = Samples::default();
        let mut group = criterion.benchmark_group("sign");
        group.bench_function(program, |bencher| {
            bencher.iter_custom(|times| {
                let took = next(times);
                samples.push(took.div_f64(times as f64));
                took
            });
        });
        group.finish();
        rows.push(Row {
            program,
            first_min_us: micros(firsts.quantile(0.0)),
            first_p50_us: micros(firsts.quantile(0.5)),
            processes: firsts.len(),
            next_min_ns: nanos(samples.quantile(0.0)),
            next_p50_ns: nanos(samples.quantile(0.5)),
        });
    }
    criterion.final_summary();
    record("sign", &rows)
}

fn time(times: u64, mut what: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        what();
    }
    start.elapsed()
}

/// Times what comes first in this process. Its runtime is not counted: every program has one.
fn first<F: Future<Output = ()>>(what: impl FnOnce() -> F) -> Duration {
    let runtime = runtime();
    let start = Instant::now();
    runtime.block_on(what());
    start.elapsed()
}

async fn ours() {
    sign(&config()).await;
}

async fn sdk() {
    let sdk_config = loaded().await;
    let signing = generator().db_connect_admin_auth_token(&sdk_config).await;
    signing.expect("a token");
}

/// As the library does for each connection, with keys from the environment.
async fn sign(config: &Config) {
    let key = |name| env::var(name).expect("it was set");
    let credentials = Credentials::new(
        key("AWS_ACCESS_KEY_ID"),
        key("AWS_SECRET_ACCESS_KEY"),
        env::var("AWS_SESSION_TOKEN").ok(),
        None,
        "environment",
    );
    let token = token::Token::sign(config, credentials, SystemTime::now()).await;
    assert!(token.expect("a token").as_str().starts_with(HOST));
}

fn config() -> Config {
    Config {
        endpoint: HOST.parse().expect("a public endpoint"),
        user: "admin".to_owned(),
        token_ttl: Duration::from_secs(900),
    }
}

async fn loaded() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

fn generator() -> AuthTokenGenerator {
    let config = TokenConfig::builder().hostname(HOST).build();
    AuthTokenGenerator::new(config.expect("all that is needed"))
}

/// This program, in an environment without the machine's own configuration.
fn itself() -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_SESSION_TOKEN", "session".repeat(100))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    Ok(command)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

const HOST: &str = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
/// Nobody's.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const FIRST_OF_OURS: &str = "--first-of-ours";
const FIRST_OF_SDK: &str = "--first-of-sdk";
const PROCESSES: usize = 20;
