//! Prints reports, and the step in progress.

use std::io::Write;
use std::time::Duration;

use anstream::{AutoStream, stdout};
use dsql_doctor::{Progress, Report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shows the step in progress on stderr, if that is a terminal.
pub(crate) struct Spinner(ProgressBar);

impl Spinner {
    pub(crate) fn new() -> Self {
        // Draws only on a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Returns the function that a doctor calls for each step.
    pub(crate) fn observer(&self) -> impl Fn(Progress<'_>) + Send + Sync + 'static {
        let bar = self.0.clone();
        move |Progress { endpoint, step, .. }| {
            bar.set_message(format!("{} of {endpoint}", step.as_str()));
        }
    }

    pub(crate) fn waits(&self, until: &str) {
        self.0.set_message(until.to_owned());
    }

    /// Hides the spinner while `print` runs.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// Prints a report. A closed pipe is not an error of this program.
pub(crate) fn print(report: &Report, json: bool) {
    let mut out = stdout();
    let _ = match json {
        true => writeln!(out, "{}", pretty(report)),
        false => write!(out, "{}", text(report)),
    };
}

/// Prints a report as one line of JSON.
pub(crate) fn print_line(report: &Report) {
    if let Ok(json) = serde_json::to_string(report) {
        let _ = writeln!(stdout(), "{json}");
    }
}

fn pretty(report: &Report) -> String {
    serde_json::to_string_pretty(report).unwrap_or_default()
}

fn text(report: &Report) -> String {
    match AutoStream::choice(&std::io::stdout()) {
        anstream::ColorChoice::Never => report.to_string(),
        _ => report.colored().to_string(),
    }
}
