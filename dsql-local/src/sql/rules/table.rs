//! What a table does not have: clauses of its definition, and columns of some kinds.
//! `create` and `alter` ask.

use super::create::{Persistence, sequence_options};
use super::read::{self, Reader, parts};
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why a CREATE TABLE is refused, if it is. The reader is behind TABLE.
pub(super) fn refuse(mut reader: Reader<'_>, kind: Persistence) -> Option<Refusal> {
    let unsupported = |clause: &str| {
        Some(Refusal::unsupported(format!(
            "{clause} clause not supported for CREATE TABLE"
        )))
    };
    reader.take(&["if", "not", "exists"]);
    reader.qualified_name();
    if reader.contains("as") {
        return Some(Refusal::unsupported("unsupported statement: CreateTableAs"));
    }
    if kind != Persistence::Permanent {
        return Some(Refusal::unsupported(format!(
            "{} table not supported for CREATE TABLE",
            kind.name()
        )));
    }
    if reader.take(&["of"]) {
        return unsupported("OF");
    }
    if reader.take(&["partition", "of"]) {
        return unsupported("PARTITION OF");
    }
    let elements = reader.group().unwrap_or_default();
    for (word, clause) in CLAUSES {
        if reader.contains(word) {
            return unsupported(clause);
        }
    }
    parts(elements).into_iter().find_map(element)
}

fn element(tokens: &[Token]) -> Option<Refusal> {
    let reader = Reader::new(tokens);
    match reader.peek() {
        "exclude" => Some(exclusion()),
        "constraint" => {
            let mut named = reader;
            named.next();
            named.name();
            (named.peek() == "exclude").then(exclusion)
        }
        "primary" | "unique" | "check" | "foreign" | "like" => None,
        _ => column(reader),
    }
}

fn exclusion() -> Refusal {
    Refusal::unsupported("EXCLUDE constraint not supported for CREATE TABLE")
}

/// Judges a column: its name, type and constraints.
pub(super) fn column(mut reader: Reader<'_>) -> Option<Refusal> {
    reader.name()?;
    if let Some(refusal) = serial(reader) {
        return Some(refusal);
    }
    if reader.contains("collate") {
        return Some(Refusal::unsupported("COLLATE clause not supported"));
    }
    let tokens = reader.rest();
    let identity = read::outside_parentheses(tokens).find_map(|(at, _)| {
        let mut reader = Reader::new(&tokens[at..]);
        reader.take(&["as", "identity"]).then_some(reader)
    });
    identity.and_then(|mut reader| {
        let options = reader.group().unwrap_or_default();
        sequence_options(options, "identity column is not supported")
    })
}

/// Refuses the types that are none: PostgreSQL would make a sequence of its own for them. A name in
/// double quotes means the same there.
fn serial(mut reader: Reader<'_>) -> Option<Refusal> {
    let name = reader.name()?;
    (SERIAL.contains(&name) && !reader.is_at('.')).then(|| Refusal::Unknown {
        message: format!("type \"{name}\" does not exist").into(),
    })
}

/// What may follow the columns, by a word that occurs in it.
const CLAUSES: [(&str, &str); 6] = [
    ("inherits", "INHERITS"),
    ("partition", "PARTITION BY"),
    ("using", "USING"),
    ("with", "WITH"),
    ("commit", "ON COMMIT"),
    ("tablespace", "TABLESPACE"),
];

const SERIAL: [&str; 6] = [
    "serial",
    "bigserial",
    "smallserial",
    "serial2",
    "serial4",
    "serial8",
];
