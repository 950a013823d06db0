//! The Lambda function: opens its connection during the init phase, then serves one event at a
//! time.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use dsql_conn::{Config, ConfigError, Pool};
use generate_game::emf::Metrics;
use generate_game::{http, log, route};
use lambda_http::tower::ServiceExt;
use lambda_http::{Adapter, LambdaEvent, Request, lambda_runtime, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    log::start();
    let metrics = match Metrics::start() {
        Ok(metrics) => metrics,
        Err(error) => {
            log::failure("cannot start", None, &*error);
            return ExitCode::FAILURE;
        }
    };
    let pool = match pool_from_env() {
        Ok(pool) => pool,
        Err(error) => {
            log::failure("cannot start", None, &error);
            return ExitCode::FAILURE;
        }
    };

    let closing = pool.clone();
    tokio::join!(
        open_first_connection(&pool),
        lambda_runtime::spawn_graceful_shutdown_handler(async move || {
            closing.close(DRAIN).await;
        }),
    );

    let (pool, metrics) = (&pool, &metrics);
    let answers = service_fn(move |request: Request| async move {
        let answer = http::answer(&request, pool).await;
        metrics.flush();
        Ok::<_, Infallible>(answer)
    });
    let events = Adapter::from(answers).map_request(|event: LambdaEvent<_>| LambdaEvent {
        payload: route::with_repeated_headers(event.payload),
        context: event.context,
    });
    log::ended(lambda_runtime::run(events).await)
}

fn pool_from_env() -> Result<Pool, ConfigError> {
    Ok(Pool::lambda(Config::from_env()?).build())
}

/// Connects during the init phase, which has the full CPU whatever the function's memory.
///
/// A failure is not fatal: the first invocation tries again and reports the error. A crash would
/// only make Lambda repeat the whole init phase.
async fn open_first_connection(pool: &Pool) {
    if let Err(error) = pool.get_until(SystemTime::now() + INIT).await {
        let reason = error.reason().map(|reason| reason.as_str());
        log::failure("no connection during init", reason, &error);
    }
}

/// Less than the 10 s after which Lambda would start the function over.
const INIT: Duration = Duration::from_secs(8);

/// Lambda kills a function with an internal extension 500 ms after SIGTERM.
const DRAIN: Duration = Duration::from_millis(400);
