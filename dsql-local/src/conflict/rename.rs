//! Edits the text of statements: names of copies, and options of locking clauses.

use std::collections::HashMap;

use crate::sql::statement::{self, Statement, Token};

/// The tables that a transaction has copies of, by schema and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Copied(HashMap<(String, String), String>);

impl Copied {
    pub(crate) fn add(&mut self, schema: String, name: String, copy: String) {
        self.0.insert((schema, name), copy);
    }

    /// Replaces schema-qualified table names with the names of copies. A name without a schema
    /// resolves to the copy by itself, because temporary tables come first.
    pub(crate) fn rename(&self, sql: &str) -> String {
        let mut statements = Vec::new();
        for statement in statement::split(sql) {
            statements.push(self.rename_one(&statement));
        }
        statements.join("\n;")
    }

    fn rename_one(&self, statement: &Statement<'_>) -> String {
        let mut out = String::new();
        let mut copied = 0;
        for at in 0..statement.tokens.len().saturating_sub(2) {
            let [schema, Token::Symbol('.'), table] = &statement.tokens[at..at + 3] else {
                continue;
            };
            let is_part = at > 0 && statement.tokens[at - 1] == Token::Symbol('.');
            let names = schema.as_name().zip(table.as_name());
            let copy = names
                .and_then(|(schema, table)| self.0.get(&(schema.to_owned(), table.to_owned())));
            if let (Some(copy), false) = (copy, is_part) {
                out.push_str(&statement.text[copied..statement.range(at).start]);
                out.push_str("pg_temp.\"");
                out.push_str(&copy.replace('"', "\"\""));
                out.push('"');
                copied = statement.range(at + 2).end;
            }
        }
        out.push_str(&statement.text[copied..]);
        out
    }
}

/// Returns whether bytes may contain an option of a locking clause.
pub(crate) fn mentions_lock_options(body: &[u8]) -> bool {
    let text = body.to_ascii_lowercase();
    let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
    has(b"nowait") || has(b"locked")
}

/// Removes the options of locking clauses.
pub(crate) fn without_lock_options(sql: &str) -> String {
    let statements: Vec<_> = statement::split(sql)
        .iter()
        .map(|statement| {
            let mut out = String::new();
            let mut copied = 0;
            let locks = statement
                .find(&["for", "update"])
                .or_else(|| statement.find(&["for", "key", "share"]));
            for at in locks.unwrap_or(usize::MAX)..statement.tokens.len() {
                let is_option = statement.tokens[at].is("nowait")
                    || statement.tokens[at].is("skip") && statement.word(at + 1) == Some("locked")
                    || statement.tokens[at].is("locked") && statement.word(at - 1) == Some("skip");
                if is_option {
                    let range = statement.range(at);
                    out.push_str(&statement.text[copied..range.start]);
                    copied = range.end;
                }
            }
            out.push_str(&statement.text[copied..]);
            out
        })
        .collect();
    statements.join("\n;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_qualified_tables_are_renamed() {
        let mut copied = Copied::default();
        copied.add("public".into(), "t".into(), "t".into());
        copied.add("S".into(), "t".into(), "dsql_local_9".into());
        for (sql, expected) in [
            ("SELECT * FROM t", "SELECT * FROM t"),
            ("SELECT t.a FROM public.t", "SELECT t.a FROM pg_temp.\"t\""),
            (
                "SELECT Public . t.a FROM public.\"t\" WHERE x='public.t'",
                "SELECT pg_temp.\"t\".a FROM pg_temp.\"t\" WHERE x='public.t'",
            ),
            (
                "DELETE FROM \"S\".t;SELECT 1",
                "DELETE FROM pg_temp.\"dsql_local_9\"\n;SELECT 1",
            ),
            (
                "SELECT s.t, \"T\", public.\"T\" FROM s",
                "SELECT s.t, \"T\", public.\"T\" FROM s",
            ),
        ] {
            assert_eq!(copied.rename(sql), expected);
        }
    }

    #[test]
    fn lock_options_are_removed_and_columns_kept() {
        for (sql, expected) in [
            ("SELECT skip, locked FROM t", "SELECT skip, locked FROM t"),
            (
                "SELECT locked FROM t FOR UPDATE SKIP LOCKED",
                "SELECT locked FROM t FOR UPDATE  ",
            ),
            (
                "SELECT 1 FROM t FOR KEY SHARE OF t NOWAIT LIMIT 1",
                "SELECT 1 FROM t FOR KEY SHARE OF t  LIMIT 1",
            ),
        ] {
            assert_eq!(without_lock_options(sql), expected);
        }
    }
}
