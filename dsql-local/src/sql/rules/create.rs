//! The CREATE statements that are refused. Tables, indexes, functions and sequences have modules of
//! their own. The engine checks column types (`engine/prepare.sql`), since it can resolve them.

use super::read::{self, Reader};
use super::table::Persistence;
use super::{Check, function, index, sequence, table};
use crate::refusal::Refusal;

/// Returns why a CREATE is refused, if it is. The reader is after CREATE. `nested` checks the
/// statements inside it.
pub(super) fn refuse(mut reader: Reader<'_>, nested: Check) -> Option<Refusal> {
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
            "schema" => schema(reader, nested),
            "sequence" => {
                reader.take(&["if", "not", "exists"]);
                reader.qualified_name();
                sequence::check(reader.rest(), "CREATE SEQUENCE is not supported")
            }
            "type" => Some(Refusal::unsupported(type_of(reader))),
            "function" => function::refuse(reader, nested),
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

/// Checks the statements that CREATE SCHEMA can contain.
fn schema(reader: Reader<'_>, nested: Check) -> Option<Refusal> {
    let tokens = reader.rest();
    let starts: Vec<_> = read::outside_parentheses(tokens)
        .filter(|(at, token)| *at > 0 && (token.is("create") || token.is("grant")))
        .map(|(at, _)| at)
        .collect();
    starts.iter().enumerate().find_map(|(index, start)| {
        let end = starts.get(index + 1).copied().unwrap_or(tokens.len());
        nested(&tokens[*start..end])
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
