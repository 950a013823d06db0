//! The log: JSON objects, one per line, on standard output, where Lambda collects them.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

/// Starts logging at `AWS_LAMBDA_LOG_LEVEL`, which defaults to INFO.
///
/// The level is DEBUG at most: at TRACE the Lambda runtime prints events, and an event contains the
/// caller's API key.
pub fn start() {
    let level = env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO)
        .min(LevelFilter::DEBUG);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_max_level(level)
        .init();
}

/// Logs a failure, with its reason and causes.
pub fn failure(what: &str, reason: Option<&str>, error: &(dyn Error + 'static)) {
    let source = error.source().map(chain);
    tracing::error!(reason, %error, source, "{what}");
}

/// Logs why a program stopped serving events, if that is a failure, and returns its exit code.
pub fn ended(result: Result<(), lambda_runtime::Error>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure("the Runtime API failed", None, &*error);
            ExitCode::FAILURE
        }
    }
}

/// Logs the failure of a request, with its reason and causes.
pub fn failed_request(request_id: &str, reason: Option<&str>, error: &(dyn Error + 'static)) {
    let source = error.source().map(chain);
    tracing::error!(reason, %error, source, request_id, "request failed");
}

/// The log entry of a request. Never contains the event, whose headers contain the API key.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The gateway's name of the request.
    pub request_id: &'a str,
    /// The X-Ray trace, if there is one.
    pub trace: Option<&'a str>,
    /// The name of the route; empty if the request has none.
    pub route: Option<&'a str>,
    /// The status of the answer.
    pub status: u16,
    /// From the event to the response.
    pub duration: Duration,
    /// How many connections were checked out for it.
    pub attempts: u32,
    /// How often the other Region took over, since the start of this copy of the function.
    pub failovers: u64,
    /// How often the home Region took over again.
    pub returns_home: u64,
}

/// Logs one line for each request.
pub fn answered(answered: &Answered<'_>) {
    let Answered {
        request_id,
        trace,
        route,
        status,
        duration,
        attempts,
        failovers,
        returns_home,
    } = answered;
    // Left out of the line unless there is another Region that took over.
    let counted = |moves: &u64| Some(*moves).filter(|moves| *moves > 0);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(
        request_id,
        trace,
        route,
        status,
        duration_ms,
        attempts,
        failovers = counted(failovers),
        returns_home = counted(returns_home),
        "request answered"
    );
}

/// Joins an error and its sources into one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}
