//! What is emitted: spans, events and metrics, against the page that lists them, against
//! OpenTelemetry's conventions, and against secrets.

mod conventions;
mod gauges;
mod lost_commits;
mod page;
mod recorder;
mod run;
mod secrets;
mod session_name;
mod spans;
mod stats;
#[path = "../api/support.rs"]
#[expect(dead_code, reason = "these tests use a part of it")]
mod support;
mod transcript;
