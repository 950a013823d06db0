//! What CREATE does not make: tables of other kinds, other languages, indexes that are built at once.
//! `dialect` asks; column types are for the engine to see (`prepare.sql`), which knows them all.

use crate::refusal::Refusal;
use crate::statement::{Statement, Token};

/// Returns why a CREATE is refused, if it is.
pub(super) fn refuse(statement: &Statement<'_>) -> Option<Refusal> {
    let at = match [1, 2].map(|at| statement.word(at).unwrap_or("")) {
        ["or", "replace"] => 3,
        _ => 1,
    };
    let word = |offset: usize| statement.word(at + offset).unwrap_or("");
    match word(0) {
        "table" => table(statement),
        "temporary" | "temp" => kind("TEMPORARY or TEMP", word(1)),
        "local" | "global" => kind("TEMPORARY or TEMP", word(2)),
        "unlogged" => kind("UNLOGGED", word(1)),
        "index" if word(1) != "async" => Some(synchronous()),
        "unique" if word(2) != "async" => Some(synchronous()),
        "index" | "unique" => ordered(statement),
        "sequence" => sequence(statement),
        "type" => Some(Refusal::unsupported(
            match statement
                .top_level("as")
                .map(|at| &statement.tokens[at + 1..])
            {
                Some([Token::Word(word), ..]) if word == "enum" => "CREATE TYPE not supported",
                Some([Token::Word(word), ..]) if word == "range" => {
                    "unsupported statement: CreateRange"
                }
                Some(_) => "unsupported statement: CompositeType",
                None => "unsupported statement: Define",
            },
        )),
        "function" | "procedure" => language(statement),
        _ => None,
    }
}

fn kind(adjective: &str, noun: &str) -> Option<Refusal> {
    Some(Refusal::unsupported(format!(
        "{adjective} {} not supported for CREATE {}",
        noun,
        noun.to_uppercase()
    )))
}

fn table(statement: &Statement<'_>) -> Option<Refusal> {
    if statement.top_level("as").is_some() {
        return Some(Refusal::unsupported("unsupported statement: CreateTableAs"));
    }
    if statement.top_level("partition").is_some() {
        return Some(Refusal::unsupported("PARTITION BY clause not supported"));
    }
    if statement.top_level("inherits").is_some() {
        return Some(Refusal::unsupported("INHERITS clause not supported"));
    }
    serial(statement).or_else(|| identity(statement))
}

/// Refuses the types that are none: PostgreSQL would make a sequence of its own for them.
pub(super) fn serial(statement: &Statement<'_>) -> Option<Refusal> {
    let [before, types] = [&statement.tokens[..], statement.tokens.get(1..)?];
    let name = before.iter().zip(types).find_map(|(before, token)| {
        let Token::Word(name) = token else {
            return None;
        };
        // A column can have the name: only what follows a name is a type.
        let follows_a_name = match before {
            Token::Name(_) => true,
            Token::Word(word) => !matches!(word.as_str(), "column" | "add" | "exists" | "table"),
            _ => false,
        };
        (follows_a_name && SERIAL.contains(&name.as_str())).then_some(name)
    })?;
    Some(Refusal::Unknown {
        message: format!("type \"{name}\" does not exist").into(),
    })
}

fn identity(statement: &Statement<'_>) -> Option<Refusal> {
    let at = statement.find(&["as", "identity"])?;
    let options =
        statement.tokens[at + 2..].split(|token| matches!(token, Token::Symbol(')' | ',')));
    let options = options.into_iter().next()?;
    (!caches(options)).then(|| {
        Refusal::unsupported(
            "identity column is not supported without an explicit cache size. \
             please define CACHE greater than or equal to 65536 or equal to 1",
        )
    })
}

fn sequence(statement: &Statement<'_>) -> Option<Refusal> {
    (!caches(&statement.tokens)).then(|| {
        Refusal::unsupported(
            "CREATE SEQUENCE is not supported without an explicit cache size. \
             please define CACHE greater than or equal to 65536 or equal to 1",
        )
    })
}

/// Returns whether there is a CACHE of a size that the service takes.
fn caches(options: &[Token]) -> bool {
    options.windows(2).any(|pair| match pair {
        [Token::Word(word), Token::Word(size)] if word == "cache" => size
            .parse()
            .is_ok_and(|size: u64| size == 1 || size >= 65_536),
        _ => false,
    })
}

fn language(statement: &Statement<'_>) -> Option<Refusal> {
    let at = statement.find(&["language"])?;
    let language = match statement.tokens.get(at + 1)? {
        Token::Literal(language) => language,
        other => other.as_name()?,
    };
    (!language.eq_ignore_ascii_case("sql")).then(|| {
        Refusal::unsupported(format!(
            "CREATE FUNCTION with language {language} not supported"
        ))
    })
}

fn synchronous() -> Refusal {
    Refusal::unsupported("unsupported mode. please use CREATE INDEX ASYNC.")
}

/// Refused by the service; the words are a guess.
fn ordered(statement: &Statement<'_>) -> Option<Refusal> {
    ["asc", "desc"]
        .iter()
        .find(|order| statement.find(&[order]).is_some())
        .map(|order| {
            Refusal::unsupported(format!(
                "{} not supported for CREATE INDEX",
                order.to_uppercase()
            ))
        })
}

const SERIAL: [&str; 6] = [
    "serial",
    "bigserial",
    "smallserial",
    "serial2",
    "serial4",
    "serial8",
];
