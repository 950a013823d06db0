//! Prints the program's results.

use std::io::{IsTerminal, Write};

use dsql_migrate::{Place, Report, Status};
use serde_json::{Value, json};

/// Prints a line. A closed pipe is not an error of this program.
pub(crate) fn line(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints the status. With `--check` the program ends with the differences as its error, and they
/// are not printed here as well.
pub(crate) fn status(status: &Status, is_json: bool, is_check: bool) {
    if is_json {
        return line(&format!("{:#}", as_json(status)));
    }
    for file in &status.files {
        line(&format!("{:8} {}", file.state, file.name));
    }
    for difference in status.differences.iter().filter(|_| !is_check) {
        line(&difference.to_string());
    }
    line(&match status.pending.len() {
        0 => "nothing is pending".to_owned(),
        1 => "1 statement is pending".to_owned(),
        count => format!("{count} statements are pending"),
    });
}

/// Counts statements.
fn statements(count: usize) -> String {
    match count {
        1 => "1 statement".to_owned(),
        _ => format!("{count} statements"),
    }
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
    let count = statements(status.pending.len());
    line(&format!("-- {count}, nothing was run"));
}

/// Prints what `up` did. A terminal has shown each statement when it began: it gets their number.
pub(crate) fn applied(report: &Report) {
    let is_shown = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
    match report.done().count() {
        count if is_shown && count > 0 => line(&format!("applied {}", statements(count))),
        _ => self::report(report),
    }
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
