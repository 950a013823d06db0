//! Prints the program's results.

use std::io::Write;

use dsql_migrate::{Place, Report, Status};
use serde_json::{Value, json};

/// Prints a line. A closed pipe is not an error of this program.
pub(crate) fn line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

pub(crate) fn status(status: &Status, is_json: bool) {
    if is_json {
        return line(&format!("{:#}", as_json(status)));
    }
    for file in &status.files {
        line(&format!("{:8} {}", file.state, file.name));
    }
    for difference in &status.differences {
        line(&difference.to_string());
    }
    line(&format!("{} statements are pending", status.pending.len()));
}

fn as_json(status: &Status) -> Value {
    let files = status.files.iter();
    let files = files.map(|file| json!({ "name": file.name, "state": file.state.to_string() }));
    let pending = status.pending.iter().map(|pending| {
        let Place {
            name,
            line,
            statement,
            ..
        } = &pending.place;
        json!({ "name": **name, "line": line, "statement": statement, "sql": pending.sql })
    });
    let differences = status.differences.iter().map(ToString::to_string);
    json!({
        "files": files.collect::<Vec<_>>(),
        "pending": pending.collect::<Vec<_>>(),
        "differences": differences.collect::<Vec<_>>(),
    })
}

/// Prints the statements that would be applied.
pub(crate) fn pending(status: &Status) {
    for pending in &status.pending {
        line(&format!("-- {}\n{};\n", pending.place, pending.sql));
    }
    line(&format!(
        "-- {} statements, none was run",
        status.pending.len()
    ));
}

/// Prints what a run did.
pub(crate) fn report(report: &Report) {
    for step in report.done() {
        line(&format!("{:8} {}", step.outcome, step.place));
    }
    if report.done().next().is_none() {
        line("nothing to do");
    }
}
