//! The cost of signing a token, compared with the SDK's documented way: the first in a process, and
//! later ones.

use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use std::{env, io};

use aws_config::BehaviorVersion;
use aws_sdk_dsql::auth_token::{AuthTokenGenerator, Config as TokenConfig};
use aws_smithy_async::time::TimeSource;
use aws_types::SdkConfig;
use benches::record;
use criterion::Criterion;
use dsql_conn::Config;
use samples::{Samples, micros, nanos};
use serde::Serialize;
use tokio::runtime::{Builder, Runtime};

#[expect(dead_code, reason = "every measurement uses a part of it")]
#[path = "support/samples.rs"]
mod samples;

#[derive(Serialize)]
struct Row {
    program: &'static str,
    /// As many processes as `processes`.
    first_min_us: f64,
    first_p50_us: f64,
    processes: usize,
    next_min_ns: f64,
    next_p50_ns: f64,
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if env::var("AWS_ACCESS_KEY_ID").as_deref() != Ok(KEY_ID) {
        // Runs itself again, with a known environment.
        let status = itself()?.args(arguments).status()?;
        return Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)));
    }
    match arguments.first().map(String::as_str) {
        Some(FIRST_OF_OURS) => {
            let took = runtime().block_on(Stopwatch::default().sign());
            println!("{}", took.as_nanos());
        }
        Some(FIRST_OF_SDK) => {
            let runtime = runtime();
            let start = Instant::now();
            runtime.block_on(sdk());
            println!("{}", start.elapsed().as_nanos());
        }
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
    let generator = generator();
    let sdk_config = runtime.block_on(loaded());
    let ours = |times| {
        let stopwatch = Stopwatch::default();
        runtime.block_on(async {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                took += stopwatch.sign().await;
            }
            took
        })
    };
    let sdk = |times| {
        let start = Instant::now();
        for _ in 0..times {
            let signing = generator.db_connect_admin_auth_token(&sdk_config);
            runtime.block_on(signing).expect("a token");
        }
        start.elapsed()
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

async fn sdk() {
    let sdk_config = loaded().await;
    let signing = generator().db_connect_admin_auth_token(&sdk_config).await;
    signing.expect("a token");
}

/// Times the signing inside the library, which has no public API: from reading the clock at the
/// start of an attempt, through finding the keys and signing, to the resolver's call.
#[derive(Debug, Clone, Default)]
struct Stopwatch(Arc<Mutex<Times>>);

#[derive(Debug, Default)]
struct Times {
    begun: Option<Instant>,
    took: Option<Duration>,
}

impl Stopwatch {
    async fn sign(&self) -> Duration {
        self.with(|times| *times = Times::default());
        let stopwatch = self.clone();
        let config = Config::new(HOST.parse().expect("a public endpoint"))
            .time_source(self.clone())
            .resolver(move |_, _| {
                let stop = |times: &mut Times| times.took = times.begun.map(|at| at.elapsed());
                stopwatch.with(stop);
                async { Err(io::ErrorKind::NotFound.into()) }
            });
        let connected = config.connect().await;
        assert!(connected.is_err(), "there is no such host");
        self.with(|times| times.took).expect("it came to the name")
    }

    fn with<T>(&self, what: impl FnOnce(&mut Times) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl TimeSource for Stopwatch {
    fn now(&self) -> SystemTime {
        self.with(|times| times.begun.get_or_insert_with(Instant::now).to_owned());
        SystemTime::now()
    }
}

async fn loaded() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

fn generator() -> AuthTokenGenerator {
    let config = TokenConfig::builder().hostname(HOST).build();
    AuthTokenGenerator::new(config.expect("all that is needed"))
}

/// This program, without the machine's AWS configuration.
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
/// A made-up key.
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const FIRST_OF_OURS: &str = "--first-of-ours";
const FIRST_OF_SDK: &str = "--first-of-sdk";
const PROCESSES: usize = 20;
