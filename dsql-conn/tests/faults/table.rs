//! Writes the table down, as Markdown for those who use the library.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use crate::expected::{Row, row};
use crate::fault::Fault;
use crate::stage::Stage;

/// Prints the table, and compares it with the one in the docs, or writes that.
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
        "docs/faults.md is not what the tests expect; `DSQL_WRITE_FAULTS=1 cargo test -p dsql-conn --test faults \
         the_table` writes it"
    );
}

fn table() -> String {
    let mut text = INTRODUCTION.to_owned();
    for stage in Stage::ALL {
        section(stage, &mut text).expect("a string takes everything");
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
    let titles: Vec<_> = stage.ways().iter().map(|way| way.title()).collect();
    writeln!(text, "| fault | {} |", titles.join(" | "))?;
    writeln!(text, "|---|{}", "---|".repeat(titles.len()))?;
    for (faults, expected) in possible {
        writeln!(text, "| {} | {expected} |", faults.join("<br>"))?;
    }
    if !impossible.is_empty() {
        writeln!(text, "\nImpossible here:\n")?;
    }
    for (why, faults) in impossible {
        writeln!(text, "- {}: {why}.", faults.join(", "))?;
    }
    Ok(())
}

/// The name of what cannot be: of its whole kind, if none of it can be for this cause.
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

What a caller sees when something goes wrong, stage by stage in the life of a connection. Each cell is a test: it runs against
`dsql-local`, which brings the fault about, and fails if what the caller sees, what ends the call or what is in the table afterwards
is something else. `cargo test -p dsql-conn --test faults` runs them all; with `DSQL_WRITE_FAULTS=1` it writes this file.

How to read a cell:

- What the caller sees: *served*, or the variant of `dsql_conn::Error`; of `Query` the SQLSTATE, or that the connection was lost;
  of `Connect` and `CheckoutTimeout` the `Reason`. *Nothing* is what a caller sees who gives up.
- A fault that comes with an SQLSTATE is a refusal of the service's, in its words, less the `unable to accept connection,` that most
  refusals of a login begin with.
- What ends the call. *At once*: the peer's answer or its end, before any deadline. *After a backoff*: the same, with pauses between
  attempts. Otherwise the deadline that ends it, or what it waits for; in the test that one is short, and the others are longer than
  the test waits. (`connect_timeout` is short as well where `checkout_timeout` ends the call, or its caller: a cause is known, and a
  place free, when a dial has come to its end.)
- A dash: that fault is not met in that way.
- *Applied* or *not applied*: whether the row is there that the call was to insert, where the answer does not say so.

After each cell, the pool is whole again:

- as many connections as `max_size` allows are lent at the same time, and each answers;
- `Pool::stats` counts them all, and none in use after they came back;
- the sockets open at the cluster are theirs, and so are the tasks that are alive;
- the next call is served, and the rows are those that the table says;
- `Pool::close` leaves no socket and no task.
";
