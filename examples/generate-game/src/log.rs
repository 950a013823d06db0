//! The log: one JSON object a line on standard output, where Lambda collects it.

use std::env;
use std::error::Error;

use tracing::level_filters::LevelFilter;

/// Starts logging at `AWS_LAMBDA_LOG_LEVEL`, which defaults to INFO.
///
/// More than DEBUG is not to be had: at TRACE the Lambda runtime prints events, and an event
/// holds the caller's API key.
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

/// Logs what failed, for which reason, and why.
pub fn failure(what: &str, reason: Option<&str>, error: &(dyn Error + 'static)) {
    let source = error.source().map(chain);
    tracing::error!(reason, %error, source, "{what}");
}

/// Joins an error and its sources in one line.
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
