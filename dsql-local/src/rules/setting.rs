//! Which settings a session may make, by SET or by `set_config`.
//! `dialect` asks; the names are those of the startup packet (`options`).

use crate::options::{self, Setting};
use crate::refusal::Refusal;
use crate::statement::{Statement, Token};

/// Returns why a SET is refused, if it is.
pub(super) fn refuse(statement: &Statement<'_>) -> Option<Refusal> {
    refuse_name(&name(statement)?)
}

/// Returns why a setting of this name is refused, if it is.
pub(super) fn refuse_name(name: &str) -> Option<Refusal> {
    options::setting(name)
        .is_none()
        .then(|| Refusal::SettingNotSupported {
            name: name.to_owned(),
        })
}

/// Keeps from the engine what is only the service's.
pub(super) fn translate(statement: &Statement<'_>) -> Option<(String, &'static str)> {
    let of_the_service = statement.begins_with(&["set"])
        && options::setting(&name(statement)?) == Some(Setting::OfTheService);
    of_the_service.then(|| ("DO 'BEGIN END'".to_owned(), "SET"))
}

pub(super) fn is_local_role(statement: &Statement<'_>) -> bool {
    statement.begins_with(&["set", "local", "role"])
}

/// Returns the parameter that a SET is about, or nothing if it is about none, or may be.
fn name(statement: &Statement<'_>) -> Option<String> {
    let after_scope = match statement.word(1)? {
        "session" | "local" => 2,
        _ => 1,
    };
    let name = match statement.word(after_scope) {
        Some("constraints") => return None,
        Some("role") if is_local_role(statement) => return None,
        Some("role") => "role",
        Some("time") if statement.word(after_scope + 1) == Some("zone") => "timezone",
        Some("names") => "client_encoding",
        Some("schema") => "search_path",
        Some("transaction") => "TRANSACTION",
        Some("characteristics") => "SESSION CHARACTERISTICS",
        Some("authorization") => "session_authorization",
        _ => return Some(spelled_out(&statement.tokens[after_scope..])),
    };
    Some(name.to_owned())
}

/// Joins a name of several parts, up to the value.
fn spelled_out(tokens: &[Token]) -> String {
    let mut name = String::new();
    for token in tokens {
        match token {
            Token::Symbol('.') => name.push('.'),
            Token::Word(word) if word == "to" => break,
            other => match other.as_name() {
                Some(part) => name.push_str(part),
                None => break,
            },
        }
    }
    name
}
