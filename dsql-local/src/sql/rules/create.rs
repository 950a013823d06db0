//! What CREATE does not make. Column types are for the engine to see (`prepare.sql`), which knows
//! them all. `dialect` asks; tables, indexes and functions have rooms of their own.

use super::read::Reader;
use super::{dialect, function, index, table};
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why a CREATE is refused, if it is. The reader is behind CREATE.
pub(super) fn refuse(mut reader: Reader<'_>) -> Option<Refusal> {
    let replaces = reader.take(&["or", "replace"]);
    let kind = Persistence::read(&mut reader);
    let noun = reader.peek();
    reader.next();
    if noun == "table" {
        return table::refuse(reader, kind);
    }
    if kind == Persistence::Permanent {
        return match noun {
            "unique" => {
                reader.take(&["index"]);
                index::refuse(reader)
            }
            "index" => index::refuse(reader),
            "schema" => schema(reader),
            "sequence" => sequence(reader, "CREATE SEQUENCE is not supported"),
            "type" => Some(Refusal::unsupported(type_of(reader))),
            "function" => function::refuse(reader),
            "procedure" => Some(Refusal::unsupported("PROCEDURE is not supported")),
            "materialized" => Some(Refusal::unsupported("unsupported statement: CreateTableAs")),
            _ => refused_noun(noun, reader, replaces),
        };
    }
    Some(Refusal::unsupported(format!(
        "{} {noun} not supported for CREATE {}",
        kind.name(),
        noun.to_uppercase()
    )))
}

/// How long what is created stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Persistence {
    Permanent,
    Temporary,
    Unlogged,
}

impl Persistence {
    fn read(reader: &mut Reader<'_>) -> Self {
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

fn refused_noun(noun: &str, reader: Reader<'_>, replaces: bool) -> Option<Refusal> {
    let second = reader.peek();
    let message = match (noun, second) {
        ("extension", _) => "unsupported statement: CreateExtension",
        ("trigger", _) | ("constraint", "trigger") => "CREATE TRIGGER not supported",
        ("database", _) => "unsupported statement: Createdb",
        ("tablespace", _) => "unsupported statement: CreateTableSpace",
        ("foreign", "table") => "unsupported statement: CreateForeignTable",
        ("foreign", _) => "unsupported statement: CreateFdw",
        ("server", _) => "unsupported statement: CreateForeignServer",
        ("event", "trigger") => "unsupported statement: CreateEventTrig",
        ("publication", _) => "unsupported statement: CreatePublication",
        ("subscription", _) => "unsupported statement: CreateSubscription",
        ("rule", _) => "unsupported statement: Rule",
        ("policy", _) => "unsupported statement: CreatePolicy",
        ("language", _) | ("trusted" | "procedural", _) => "unsupported statement: CreatePLang",
        ("operator", "class") => "unsupported statement: CreateOpClass",
        ("operator", "family") => "unsupported statement: CreateOpFamily",
        ("aggregate" | "operator" | "collation" | "text", _) => "unsupported statement: Define",
        ("cast", _) => "unsupported statement: CreateCast",
        ("transform", _) => "unsupported statement: CreateTransform",
        ("access", "method") => "unsupported statement: CreateAm",
        ("conversion", _) | ("default", "conversion") => "unsupported statement: CreateConversion",
        ("user", "mapping") => "unsupported statement: CreateUserMapping",
        ("recursive", "view") | ("view", _) if replaces => return None,
        _ => return None,
    };
    Some(Refusal::unsupported(message))
}

/// A schema may be created with what is in it.
fn schema(reader: Reader<'_>) -> Option<Refusal> {
    let tokens = reader.rest();
    let starts: Vec<_> = super::read::outside_parentheses(tokens)
        .filter(|(at, token)| *at > 0 && (token.is("create") || token.is("grant")))
        .map(|(at, _)| at)
        .collect();
    starts.iter().enumerate().find_map(|(index, start)| {
        let end = starts.get(index + 1).copied().unwrap_or(tokens.len());
        dialect::refuse(&tokens[*start..end])
    })
}

fn type_of(mut reader: Reader<'_>) -> &'static str {
    reader.qualified_name();
    match reader.take(&["as"]) {
        true if reader.take(&["enum"]) => "CREATE TYPE not supported",
        true if reader.take(&["range"]) => "unsupported statement: CreateRange",
        true => "unsupported statement: CompositeType",
        false => "unsupported statement: Define",
    }
}

fn sequence(mut reader: Reader<'_>, what: &str) -> Option<Refusal> {
    reader.take(&["if", "not", "exists"]);
    reader.qualified_name();
    sequence_options(reader.rest(), what)
}

/// Judges the options of a sequence, or of the one behind an identity column. Without a CACHE the
/// engine would have a default of its own.
pub(super) fn sequence_options(options: &[Token], what: &str) -> Option<Refusal> {
    bad_sequence_option(options).or_else(|| {
        (!options.iter().any(|option| option.is("cache"))).then(|| {
            Refusal::unsupported(format!(
                "{what} without an explicit cache size. \
                 please define CACHE greater than or equal to 65536 or equal to 1"
            ))
        })
    })
}

/// Returns the option that the service does not take, if there is one.
pub(super) fn bad_sequence_option(options: &[Token]) -> Option<Refusal> {
    let pairs = options.iter().zip(options.iter().skip(1));
    pairs.into_iter().find_map(|(option, value)| match value {
        Token::Word(size) if option.is("cache") => {
            let size: u64 = size.parse().ok()?;
            (size != 1 && size < SMALLEST_CACHE).then(|| Refusal::Invalid {
                message: format!(
                    "CACHE ({size}) must be greater than or equal to {SMALLEST_CACHE} or equal to 1"
                )
                .into(),
            })
        }
        Token::Word(name) if option.is("as") => (!matches!(name.as_str(), "bigint" | "int8"))
            .then_some(Refusal::Invalid {
                message: "sequence type must be bigint".into(),
            }),
        Token::Word(_) | Token::Name(_) | Token::Literal(_) | Token::Symbol(_) => None,
    })
}

const SMALLEST_CACHE: u64 = 65_536;
