//! Decides whether the service runs a statement: as it is, in another form, or not at all.
//! `transaction` has the rules that depend on the transaction.

use self::read::Reader;
use crate::refusal::Refusal;
use crate::sql::statement::{Statement, Token};
use crate::sql::{job, role};

mod alter;
mod create;
mod dialect;
mod function;
mod index;
mod query;
mod read;
mod sequence;
mod setting;
mod table;
mod translate;

/// The kind of a statement and how it is handled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) kind: Kind,
    pub(crate) verdict: Verdict,
}

/// The kind of a statement, as far as its transaction depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Begin,
    Commit,
    Rollback,
    /// DDL, including GRANT and REVOKE.
    Definition,
    /// DML that writes.
    Change,
    /// `SET LOCAL role`, which requires an open transaction.
    LocalRole,
    /// `CALL sys.wait_for_job`, which cannot run in a transaction.
    WaitForJob,
    Other,
}

/// How a statement is handled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// PostgreSQL runs it.
    Forward,
    /// PostgreSQL runs other SQL, and the client sees this command tag.
    Translate { sql: String, tag: &'static str },
    /// The service refuses it.
    Refuse(Refusal),
}

/// Checks one statement.
pub(crate) fn check(statement: &Statement<'_>) -> Checked {
    let verdict = if let Some(refusal) = dialect::refuse(&statement.tokens) {
        Verdict::Refuse(refusal)
    } else if let Some((sql, tag)) = role::translate(statement)
        .or_else(|| job::translate(statement, index::method(&statement.tokens)))
        .or_else(|| setting::translate(statement))
        .or_else(|| translate::translate(statement))
    {
        Verdict::Translate { sql, tag }
    } else {
        Verdict::Forward
    };
    Checked {
        kind: kind(&statement.tokens),
        verdict,
    }
}

/// Checks a statement inside another one, such as the body of a function.
type Check = fn(&[Token]) -> Option<Refusal>;

fn kind(tokens: &[Token]) -> Kind {
    let mut reader = Reader::new(tokens);
    match reader.peek() {
        "begin" => Kind::Begin,
        "start" if reader.take(&["start", "transaction"]) => Kind::Begin,
        "commit" | "end" => Kind::Commit,
        "rollback" | "abort" => Kind::Rollback,
        "create" | "alter" | "drop" | "grant" | "revoke" | "comment" | "aws" | "reassign" => {
            Kind::Definition
        }
        "insert" | "update" | "delete" | "merge" => Kind::Change,
        "with" if changes(tokens) => Kind::Change,
        "copy" => match (copies_in(tokens), changes(tokens)) {
            (false, false) => Kind::Other,
            _ => Kind::Change,
        },
        // Without ANALYZE, EXPLAIN runs no statement.
        "explain" => {
            let options = &tokens[..tokens.len() - dialect::explained(reader).len()];
            match options
                .iter()
                .any(|token| token.is("analyze") || token.is("analyse"))
            {
                true => kind(dialect::explained(reader)),
                false => Kind::Other,
            }
        }
        "set" if setting::is_local_role(tokens) => Kind::LocalRole,
        "call" if translate::waits_for_job(tokens) => Kind::WaitForJob,
        _ => Kind::Other,
    }
}

/// Returns whether a COPY receives data from the client.
pub(crate) fn copies_in(tokens: &[Token]) -> bool {
    Reader::new(tokens).contains("from")
}

/// Returns whether some part of the tokens writes to a table.
pub(crate) fn changes(tokens: &[Token]) -> bool {
    let is_at = |at: usize, word: &str| tokens.get(at).is_some_and(|token| token.is(word));
    (0..tokens.len()).any(|at| {
        is_at(at, "insert") && is_at(at + 1, "into")
            || is_at(at, "delete") && is_at(at + 1, "from")
            // `FOR UPDATE` only locks; `ON UPDATE` and `DO UPDATE` are parts of other clauses.
            || is_at(at, "update") && !at.checked_sub(1).is_some_and(|before| {
                ["for", "key", "on", "do"].iter().any(|word| is_at(before, word))
            })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sql::statement::{self, Token};

    /// Words and symbols that the rules look for.
    const PARTS: &[&str] = &[
        "create",
        "alter",
        "drop",
        "table",
        "index",
        "async",
        "unique",
        "on",
        "if",
        "not",
        "exists",
        "add",
        "column",
        "constraint",
        "validate",
        "type",
        "set",
        "data",
        "local",
        "role",
        "to",
        "session",
        "transaction",
        "isolation",
        "level",
        "read",
        "begin",
        "commit",
        "rollback",
        "aws",
        "iam",
        "grant",
        "revoke",
        "from",
        "with",
        "select",
        "for",
        "share",
        "update",
        "into",
        "language",
        "as",
        "identity",
        "cache",
        "1",
        "serial",
        "call",
        "sys",
        "wait_for_job",
        "set_config",
        "pg_advisory_lock",
        "user",
        "'x'",
        "'",
        "\"n\"",
        "\"",
        "(",
        ")",
        ",",
        ".",
        ";",
        "=",
        "$$",
        "--",
        "/*",
        "\u{e9}",
        "\n",
    ];

    /// Returns the tokens of a text that must be a single statement.
    fn tokens(sql: &str) -> Vec<Token> {
        let mut statements = statement::split(sql);
        assert_eq!(statements.len(), 1, "{sql}");
        statements.remove(0).tokens
    }

    /// Returns the tokens of the block that a statement about roles is translated to.
    fn block(sql: &str) -> Vec<Token> {
        let Verdict::Translate { sql, .. } = check(&statement::split(sql)[0]).verdict else {
            panic!("{sql}");
        };
        match &tokens(&sql)[..] {
            [doing, Token::Literal(block)] if doing.is("do") => {
                let block = statement::split(block);
                block
                    .into_iter()
                    .flat_map(|statement| statement.tokens)
                    .collect()
            }
            _ => panic!("{sql}"),
        }
    }

    fn has(tokens: &[Token], text: &str) -> bool {
        tokens.contains(&Token::Literal(text.to_owned()))
    }

    proptest! {
        #[test]
        fn names_and_arns_stay_literals_in_translations(
            role in prop_oneof!["[^\0]{1,12}", "['\"$\\\\; -]{1,9}"],
            arn in prop_oneof!["[^\0]{0,12}", "['\"$\\\\; -]{0,9}"],
        ) {
            let quoted = format!("\"{}\"", role.replace('"', "\"\""));
            let arn_literal = format!("'{}'", arn.replace('\'', "''"));
            for sql in [
                format!("AWS IAM GRANT {quoted} TO {arn_literal}"),
                format!("AWS IAM REVOKE {quoted} FROM {arn_literal}"),
            ] {
                let block = block(&sql);
                prop_assert!(has(&block, &role) && has(&block, &arn), "{:?}", block);
            }
            let dropped = block(&format!("DROP ROLE {quoted}"));
            prop_assert!(has(&dropped, &role), "{:?}", dropped);

            let index = format!("CREATE INDEX ASYNC {quoted} ON t (a) WHERE b = {arn_literal}");
            let Verdict::Translate { sql, .. } = check(&statement::split(&index)[0]).verdict else {
                panic!("{index}");
            };
            let job = tokens(&sql);
            let run = index.replacen("ASYNC", "", 1);
            prop_assert!(has(&job, &role) && has(&job, &run), "{:?}", job);
        }

        #[test]
        fn no_statement_panics(
            parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..20),
        ) {
            for statement in statement::split(&parts.join(" ")) {
                let checked = check(&statement);
                if let Verdict::Translate { sql, .. } = checked.verdict {
                    // A translation is one statement for any input.
                    prop_assert_eq!(statement::split(&sql).len(), 1, "{}", sql);
                }
            }
        }
    }
}
