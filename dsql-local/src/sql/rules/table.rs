//! The clauses of CREATE TABLE and the columns that are refused.

use super::read::{self, Reader, parts};
use super::sequence;
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why a CREATE TABLE is refused, if it is. The reader is after TABLE.
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

/// The persistence of a created object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    Permanent,
    Temporary,
    Unlogged,
}

impl Persistence {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let start = *reader;
        reader.take_any(&["local", "global"]);
        if reader.take_any(&["temporary", "temp"]) {
            Self::Temporary
        } else {
            *reader = start;
            match reader.take(&["unlogged"]) {
                true => Self::Unlogged,
                false => Self::Permanent,
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Permanent => "PERMANENT",
            Self::Temporary => "TEMPORARY or TEMP",
            Self::Unlogged => "UNLOGGED",
        }
    }
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

/// Checks a column: its name, type and constraints.
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
        sequence::check(options, "identity column is not supported")
    })
}

/// Refuses the serial types, which the service does not have. PostgreSQL also recognizes them in
/// double quotes.
fn serial(mut reader: Reader<'_>) -> Option<Refusal> {
    let name = reader.name()?;
    (SERIAL.contains(&name) && !reader.is_at('.')).then(|| Refusal::Unknown {
        message: format!("type \"{name}\" does not exist").into(),
    })
}

/// The refused clauses after the columns, by a word in them.
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
