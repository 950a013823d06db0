//! Compares the emitted spans, events and metrics with the page that lists them and with
//! OpenTelemetry's conventions, and searches them for secrets.

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
