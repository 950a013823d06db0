//! Whether the service would run a statement: as it is, in another form, or not at all.
//! `request` asks it for each statement of each text; what depends on the transaction is `transaction`'s.

use crate::job;
use crate::refusal::Refusal;
use crate::role;
use crate::statement::Statement;

mod alter;
mod create;
mod dialect;
mod setting;

/// What a statement is and what becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) kind: Kind,
    pub(crate) verdict: Verdict,
}

/// What a transaction has to know of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Begin,
    Commit,
    Rollback,
    /// DDL, to which GRANT and REVOKE belong.
    Definition,
    /// DML that writes.
    Change,
    /// `SET LOCAL role`, which needs an open transaction.
    LocalRole,
    /// `CALL sys.wait_for_job`, which needs that there is none.
    WaitForJob,
    Other,
}

/// What becomes of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// PostgreSQL runs it.
    Forward,
    /// PostgreSQL runs something else, and the client sees this tag.
    Translate { sql: String, tag: &'static str },
    /// PostgreSQL never sees it.
    Refuse(Refusal),
}

/// Judges one statement.
pub(crate) fn judge(statement: &Statement<'_>) -> Judged {
    let refusal = dialect::refuse(statement);
    let verdict = if let Some(refusal) = refusal {
        Verdict::Refuse(refusal)
    } else if let Some((sql, tag)) = role::translate(statement)
        .or_else(|| job::translate(statement))
        .or_else(|| setting::translate(statement))
    {
        Verdict::Translate { sql, tag }
    } else {
        Verdict::Forward
    };
    Judged {
        kind: kind(statement),
        verdict,
    }
}

fn kind(statement: &Statement<'_>) -> Kind {
    match statement.word(0) {
        Some("begin") => Kind::Begin,
        Some("start") if statement.word(1) == Some("transaction") => Kind::Begin,
        Some("commit" | "end") => Kind::Commit,
        Some("rollback" | "abort") => Kind::Rollback,
        Some("create" | "alter" | "drop" | "grant" | "revoke" | "comment" | "aws") => {
            Kind::Definition
        }
        Some("insert" | "update" | "delete" | "merge") => Kind::Change,
        Some("with") if statement.changes() => Kind::Change,
        Some("copy") if statement.top_level("from").is_some() => Kind::Change,
        Some("set") if setting::is_local_role(statement) => Kind::LocalRole,
        Some("call") if job::waits(statement) => Kind::WaitForJob,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statement::{self, Token};

    /// Words and signs that rules look for, in any order.
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

    /// Returns the tokens of the one statement that a text has to be.
    fn tokens(sql: &str) -> Vec<Token> {
        let mut statements = statement::split(sql);
        assert_eq!(statements.len(), 1, "{sql}");
        statements.remove(0).tokens
    }

    /// Returns the tokens of the block that a statement about roles becomes.
    fn block(sql: &str) -> Vec<Token> {
        let Verdict::Translate { sql, .. } = judge(&statement::split(sql)[0]).verdict else {
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
        /// Nothing in a name or an ARN becomes part of the SQL around it.
        #[test]
        fn names_reach_the_engine_as_they_are(
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
            let create = format!("CREATE ROLE {quoted} LOGIN PASSWORD {arn_literal}");
            let block = block(&create);
            prop_assert!(has(&block, &role) && has(&block, &create), "{:?}", block);

            let index = format!("CREATE INDEX ASYNC {quoted} ON t (a) WHERE b = {arn_literal}");
            let Verdict::Translate { sql, .. } = judge(&statement::split(&index)[0]).verdict else {
                panic!("{index}");
            };
            let job = tokens(&sql);
            prop_assert!(has(&job, &role) && has(&job, &index.replacen("ASYNC", "", 1)), "{:?}", job);
        }

        #[test]
        fn no_statement_makes_it_panic(parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..20)) {
            for statement in statement::split(&parts.join(" ")) {
                let judged = judge(&statement);
                if let Verdict::Translate { sql, .. } = judged.verdict {
                    // What is made of it is one statement, whatever was in it.
                    prop_assert_eq!(statement::split(&sql).len(), 1, "{}", sql);
                }
            }
        }
    }
}
