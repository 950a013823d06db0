//! The clauses, types and functions that are refused in every query: in parentheses, in a view, in
//! the body of a function.

use super::read::Reader;
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why some part of the tokens is refused, if one is.
pub(super) fn refuse(tokens: &[Token]) -> Option<Refusal> {
    let mut calls = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        match token {
            Token::Symbol('(') => calls.push(before.and_then(Token::as_name).unwrap_or("")),
            Token::Symbol(')') => drop(calls.pop()),
            Token::Word(word) if !before.is_some_and(begins_a_name) => {
                let after = Reader::new(&tokens[at + 1..]);
                let refusal = clause(word, before, after, calls.last().copied().unwrap_or(""));
                if refusal.is_some() {
                    return refusal;
                }
            }
            Token::Word(name) | Token::Name(name) => {
                let refusal = function(name, Reader::new(&tokens[at + 1..]));
                if refusal.is_some() {
                    return refusal;
                }
            }
            Token::Literal(_) | Token::Symbol(_) => {}
        }
    }
    None
}

/// Returns whether the word after this token is a name, even if it is a keyword.
fn begins_a_name(before: &Token) -> bool {
    before.is("as") || *before == Token::Symbol('.')
}

fn clause(
    word: &str,
    before: Option<&Token>,
    mut after: Reader<'_>,
    call: &str,
) -> Option<Refusal> {
    let unsupported = |message: &'static str| Some(Refusal::unsupported(message));
    match word {
        // In `substring(x for share)` the word is a column.
        "for" if !FOR_IN_CALLS.contains(&call) => {
            let other = after.take(&["share"]) || after.take(&["no", "key", "update"]);
            other
                .then_some("locking clauses other than FOR UPDATE/FOR KEY SHARE are not supported")
                .and_then(unsupported)
        }
        "tablesample" => {
            let is_clause = after.qualified_name().is_some() && after.is_at('(');
            is_clause
                .then_some("TABLESAMPLE clause not supported")
                .and_then(unsupported)
        }
        "into" if !before.is_some_and(|before| before.is("insert") || before.is("merge")) => {
            unsupported("SELECT INTO not supported")
        }
        _ if is_typed(word, before, after) => Some(Refusal::unsupported(format!(
            "datatype {word} not supported"
        ))),
        _ => function(word, after),
    }
}

/// Returns whether the tokens make a value of a type that has no values in the service.
fn is_typed(word: &str, before: Option<&Token>, mut after: Reader<'_>) -> bool {
    if !NO_VALUES.contains(&word) {
        return false;
    }
    let is_cast = before.is_some_and(|before| *before == Token::Symbol(':'));
    let is_literal = |reader: Reader<'_>| matches!(reader.rest().first(), Some(Token::Literal(_)));
    is_cast || is_literal(after) || after.take_symbol('(') && is_literal(after)
}

fn function(name: &str, after: Reader<'_>) -> Option<Refusal> {
    let is_lock = after.is_at('(') && LOCKS.iter().any(|prefix| name.starts_with(prefix));
    is_lock.then(|| Refusal::unsupported(format!("function {name} not supported")))
}

/// Functions whose arguments FOR can separate.
const FOR_IN_CALLS: [&str; 2] = ["substring", "overlay"];
const LOCKS: [&str; 2] = ["pg_advisory_", "pg_try_advisory_"];
/// The refusal was recorded for these two types.
const NO_VALUES: [&str; 2] = ["line", "circle"];
