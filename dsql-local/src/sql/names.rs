//! The names of tables in a statement, by the words before them. They may include names of other
//! objects, which matters only if a table has the same name.

use crate::sql::statement::{Statement, Token};

/// The tables that a statement names, without their schemas.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Names {
    tables: Vec<String>,
    all: bool,
}

impl Names {
    pub(crate) fn of(statement: &Statement<'_>) -> Self {
        let tokens = &statement.tokens[..];
        let mut names = Self {
            tables: Vec::new(),
            all: statement.find(&["all", "tables"]).is_some()
                || statement.begins_with(&["drop", "schema"]),
        };
        for at in 1..tokens.len() {
            let introduces = match &tokens[at - 1] {
                Token::Word(word) => BEFORE_TABLES.contains(&word.as_str()),
                Token::Symbol(symbol) => *symbol == ',',
                _ => false,
            };
            if !introduces {
                continue;
            }
            let mut at = at;
            while tokens
                .get(at)
                .is_some_and(|token| BEFORE_NAMES.iter().any(|word| token.is(word)))
            {
                at += 1;
            }
            let mut schema = None;
            while let (Some(name), Some(Token::Symbol('.'))) =
                (tokens.get(at).and_then(Token::as_name), tokens.get(at + 1))
            {
                schema = Some(name);
                at += 2;
            }
            if let Some(name) = tokens.get(at).and_then(Token::as_name)
                && !schema.is_some_and(|schema| CATALOGS.contains(&schema))
                && !name.starts_with("pg_")
            {
                names.tables.push(name.to_owned());
            }
        }
        names
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(String::as_str)
    }

    pub(crate) fn has(&self, table: &str) -> bool {
        self.all || self.tables.iter().any(|name| name == table)
    }
}

const BEFORE_TABLES: &[&str] = &[
    "from",
    "join",
    "into",
    "update",
    "table",
    "using",
    "on",
    "references",
    "view",
    "index",
    "copy",
    "to",
    "sequence",
    "async",
    "only",
];
const BEFORE_NAMES: &[&str] = &["if", "not", "exists", "only", "async", "lateral", "table"];
const CATALOGS: &[&str] = &["pg_catalog", "information_schema", "sys"];
