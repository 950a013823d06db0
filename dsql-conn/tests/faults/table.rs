//! Writes the table as Markdown, for the users of the crate.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use crate::expected::{Row, row};
use crate::fault::Fault;
use crate::stage::Stage;

/// Prints the table, and compares it with docs/faults.md, or writes that file.
pub(crate) fn print_and_compare() {
    let table = table();
    println!("{table}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/faults.md");
    if env::var_os("DSQL_WRITE_FAULTS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder for the table");
        return fs::write(&path, table).expect("the table is written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == table,
        "docs/faults.md differs from the expectations; \
         `DSQL_WRITE_FAULTS=1 cargo test -p dsql-conn --test faults the_table` writes it"
    );
}

fn table() -> String {
    let mut text = INTRODUCTION.to_owned();
    for stage in Stage::ALL {
        section(stage, &mut text).expect("writing to a string cannot fail");
    }
    text
}

fn section(stage: Stage, text: &mut String) -> std::fmt::Result {
    let mut possible: Vec<(Vec<String>, String)> = Vec::new();
    let mut impossible: Vec<(&str, Vec<String>)> = Vec::new();
    for fault in Fault::all() {
        match row(stage, fault) {
            Row::Impossible(why) => {
                let fault = kind(stage, fault, why);
                match impossible.iter_mut().find(|(known, _)| *known == why) {
                    Some((_, faults)) if faults.contains(&fault) => {}
                    Some((_, faults)) => faults.push(fault),
                    None => impossible.push((why, vec![fault])),
                }
            }
            Row::Possible(expected) => {
                let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
                let expected = expected.join(" | ");
                match possible.iter_mut().find(|(_, known)| *known == expected) {
                    Some((faults, _)) => faults.push(fault.to_string()),
                    None => possible.push((vec![fault.to_string()], expected)),
                }
            }
        }
    }

    writeln!(text, "\n## {}\n\n{}\n", stage.title(), stage.about())?;
    let titles: Vec<_> = stage.calls().iter().map(|call| call.title()).collect();
    writeln!(text, "| fault | {} |", titles.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(titles.len()))?;
    for (faults, expected) in possible {
        writeln!(text, "| {} | {expected} |", faults.join("<br>"))?;
    }
    if !impossible.is_empty() {
        writeln!(text, "\nNot possible at this stage:\n")?;
    }
    for (why, faults) in impossible {
        writeln!(text, "- {}: {why}.", faults.join(", "))?;
    }
    Ok(())
}

/// The name of an impossible fault. A whole class of errors gets one name if all are impossible for
/// the same reason.
fn kind(stage: Stage, fault: Fault, why: &str) -> String {
    let Fault::Service(service) = fault else {
        return fault.to_string();
    };
    let mut kin = Fault::all()
        .filter(|kin| matches!(kin, Fault::Service(kin) if kin.answers() == service.answers()));
    match kin.all(|kin| matches!(row(stage, kin), Row::Impossible(cause) if cause == why)) {
        true => service.answers().to_string(),
        false => fault.to_string(),
    }
}

const INTRODUCTION: &str = "\
# Faults

The outcome of a call when something goes wrong, for each stage of a connection's life. Each cell
is a test against `dsql-local`, which injects the fault. The test fails if the outcome, the
timeout that ends the call or the rows in the table differ. `cargo test -p dsql-conn --test
faults` runs all of them; with `DSQL_WRITE_FAULTS=1` it writes this file.

How to read a cell:

- The outcome: *served*, or the variant of `dsql_conn::Error`. `Query` has the SQLSTATE, or says
  that the connection was lost; `Connect` and `CheckoutTimeout` have the `Reason`. *Nothing*: the
  caller cancelled the call.
- A fault with an SQLSTATE is an error in the service's own words. `unable to accept connection,`,
  the beginning of most refused logins, is left out.
- What ends the call. *At once*: the server's reply, or the end of the connection, before any
  timeout. *After a backoff*: the same, after pauses between attempts. Otherwise: the timeout. The
  test makes this timeout short, and all others longer than it waits. (Where `checkout_timeout` or
  the caller ends the call, `connect_timeout` is short too: an attempt has to end before its cause
  is known and its slot is free.)
- A dash: this call cannot meet this fault.
- *Applied* or *not applied*: whether the inserted row exists, where the outcome does not tell.

After each cell, the test checks that the pool recovered:

- `max_size` connections can be in use at the same time, and all of them answer;
- `Pool::stats` counts all of them, and after their return none is in use;
- the cluster has as many open sockets, and the client as many tasks;
- the next call is served, and the table has the expected rows;
- `Pool::close` leaves no socket and no task.
";
