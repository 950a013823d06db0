//! The functions that CREATE FUNCTION refuses: other languages than SQL, and bodies with refused
//! statements.

use super::Check;
use super::read::{self, Reader};
use crate::refusal::Refusal;
use crate::sql::statement::{self, Token};

/// Returns why a CREATE FUNCTION is refused, if it is. The reader is after FUNCTION. `nested`
/// checks the statements of the body.
pub(super) fn refuse(mut reader: Reader<'_>, nested: Check) -> Option<Refusal> {
    reader.qualified_name();
    // An argument may have the name of a clause.
    reader.group();
    let tokens = reader.rest();
    let outside: Vec<_> = read::outside_parentheses(tokens).collect();
    let after = |word: &str| {
        let (at, _) = outside.iter().find(|(_, token)| token.is(word))?;
        tokens.get(at + 1)
    };
    let language = after("language").and_then(|token| match token {
        Token::Literal(language) | Token::Word(language) | Token::Name(language) => Some(language),
        Token::Symbol(_) => None,
    });
    if let Some(language) = language
        && !language.eq_ignore_ascii_case("sql")
    {
        return Some(Refusal::unsupported(format!(
            "CREATE FUNCTION with language {language} not supported"
        )));
    }
    match after("as") {
        Some(Token::Literal(body)) => statement::split(body)
            .iter()
            .find_map(|statement| nested(&statement.tokens)),
        _ => atomic(tokens, nested),
    }
}

/// Checks the statements of a body in the standard's form, `BEGIN ATOMIC .. END`.
fn atomic(tokens: &[Token], nested: Check) -> Option<Refusal> {
    let at = tokens
        .windows(2)
        .position(|pair| pair[0].is("begin") && pair[1].is("atomic"))?;
    tokens[at + 2..]
        .split(|token| *token == Token::Symbol(';'))
        .find_map(nested)
}
