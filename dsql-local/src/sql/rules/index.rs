//! The clauses of CREATE INDEX that are refused: access methods, sort orders, operator classes.

use super::read::{Reader, parts};
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why a CREATE INDEX is refused, if it is. The reader is after INDEX.
pub(super) fn refuse(mut reader: Reader<'_>) -> Option<Refusal> {
    let unsupported = |clause: &str| {
        Some(Refusal::unsupported(format!(
            "{clause} not supported for CREATE INDEX"
        )))
    };
    let asynchronous = reader.take(&["async"]);
    if reader.take(&["concurrently"]) {
        return unsupported("CONCURRENTLY");
    }
    if !asynchronous {
        return Some(Refusal::unsupported(
            "unsupported mode. please use CREATE INDEX ASYNC.",
        ));
    }
    reader.until(&["on"]);
    reader.take(&["on"]);
    reader.take(&["only"]);
    reader.qualified_name();
    if reader.take(&["using"]) && reader.name() != Some(METHOD) {
        return unsupported("USING");
    }
    let keys = reader.group().unwrap_or_default();
    if reader.contains("tablespace") {
        return unsupported("TABLESPACE");
    }
    if reader.contains("with") {
        return unsupported("WITH");
    }
    parts(keys).into_iter().find_map(key)
}

/// Checks a column or an expression of an index.
fn key(tokens: &[Token]) -> Option<Refusal> {
    let mut reader = Reader::new(tokens);
    if reader.group().is_none() {
        reader.qualified_name();
        // The arguments of a function.
        reader.group();
    }
    if reader.contains("collate") {
        return Some(Refusal::unsupported("COLLATE clause not supported"));
    }
    if ["asc", "desc", "nulls"]
        .iter()
        .any(|word| reader.contains(word))
    {
        return Some(Refusal::unsupported(
            "specifying sort order not supported for index keys",
        ));
    }
    reader
        .name()
        .map(|_| Refusal::unsupported("opclass not supported for index keys"))
}

/// Returns the position of `USING btree_index`: the engine's access method has another name.
pub(super) fn method(tokens: &[Token]) -> Option<[usize; 2]> {
    let at = tokens
        .windows(2)
        .position(|pair| pair[0].is("using") && pair[1].as_name() == Some(METHOD))?;
    Some([at, at + 1])
}

const METHOD: &str = "btree_index";
