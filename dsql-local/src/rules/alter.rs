//! What ALTER does not change: types, columns with constraints, constraints that would be checked at once.
//! `dialect` asks.

use super::create::serial;
use crate::refusal::Refusal;
use crate::statement::Statement;

/// Returns why an ALTER is refused, if it is.
pub(super) fn refuse(statement: &Statement<'_>) -> Option<Refusal> {
    if statement.word(1) != Some("table") {
        return None;
    }
    let asynchronous = statement.word(2) == Some("async");
    serial(statement).or_else(|| {
        statement
            .top_level_parts()
            .iter()
            .find_map(|words| action(words, asynchronous))
    })
}

/// Judges one of the actions between the commas, by its words outside of parentheses.
fn action(words: &[&str], asynchronous: bool) -> Option<Refusal> {
    // The first action has the table's name before it.
    let words = words.strip_prefix(&["alter", "table"]).unwrap_or(words);
    let verb = words.iter().position(|word| VERBS.contains(word))?;
    let refused = match &words[verb..] {
        [
            "add",
            "constraint" | "primary" | "unique" | "check" | "foreign" | "exclude",
            ..,
        ] => {
            let adopts_index = words.windows(2).any(|pair| pair == ["using", "index"]);
            (!adopts_index && !words.ends_with(&["not", "valid"]))
                .then_some("unsupported ALTER TABLE ADD CONSTRAINT statement")
        }
        ["add", "column", "if", "not", "exists", _, rest @ ..]
        | ["add", "if", "not", "exists", _, rest @ ..]
        | ["add", "column", _, rest @ ..]
        | ["add", _, rest @ ..] => CONSTRAINTS
            .iter()
            .any(|word| rest.contains(word))
            .then_some("ALTER TABLE ADD COLUMN with constraint not supported"),
        ["validate", ..] => {
            (!asynchronous).then_some("unsupported ALTER TABLE VALIDATE CONSTRAINT statement")
        }
        ["alter", "column", _, "type", ..]
        | ["alter", "column", _, "set", "data", ..]
        | ["alter", _, "type", ..]
        | ["alter", _, "set", "data", ..] => {
            Some("unsupported ALTER TABLE ALTER COLUMN ... SET DATA TYPE statement")
        }
        _ => None,
    };
    refused.map(Refusal::unsupported)
}

const VERBS: [&str; 10] = [
    "add", "alter", "attach", "detach", "disable", "drop", "enable", "owner", "rename", "validate",
];
/// What may follow a column's type and is more than storage.
const CONSTRAINTS: [&str; 8] = [
    "not",
    "default",
    "check",
    "unique",
    "primary",
    "references",
    "generated",
    "constraint",
];
