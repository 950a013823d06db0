//! Decides how a statement of a migration is run, so that it can run again after an interruption.
//!
//! The service runs one DDL statement per transaction, and nothing else with it: [DDL and
//! distributed
//! transactions](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-ddl.html).
//! The record of a DDL statement is written in another transaction. So if a run is killed between
//! the two, the next run executes the statement a second time.

mod alter;
mod create;
mod words;

use dsql_sql::Token;

use self::words::Words;
use crate::name::Name;

/// How a statement is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// DDL that changes nothing when it runs a second time.
    Definition,
    /// DDL that fails when it runs a second time. It runs only if the catalog does not have its
    /// effect.
    Effect(Effect),
    /// `CREATE INDEX ASYNC`.
    Index(Index),
    /// `ALTER TABLE ASYNC .. VALIDATE CONSTRAINT`.
    Validation { table: Name, constraint: String },
    /// DML, in one transaction with its record.
    Change,
}

/// The effect of a DDL statement in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Constraint { table: Name, constraint: String },
    RenamedColumn { table: Name, column: String },
    Role(String),
    Schema(String),
    Domain(Name),
    Trust { role: String, arn: String },
    NoTrust { role: String, arn: String },
}

/// The index that a statement builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) name: String,
    pub(crate) table: Name,
}

/// Why a statement is refused, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) rule: &'static str,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

impl Refusal {
    fn not_repeatable(write: impl Into<String>) -> Self {
        Self {
            rule: NOT_REPEATABLE,
            what: "it fails when it runs again after an interruption".to_owned(),
            remedy: format!("write {}", write.into()),
        }
    }

    /// The service builds indexes and validates constraints in the background alone: [asynchronous
    /// indexes](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-create-index-async.html).
    fn not_async(write: impl Into<String>) -> Self {
        Self {
            what: "the service runs it in the background alone, by ASYNC".to_owned(),
            ..Self::not_repeatable(write)
        }
    }

    fn unknown() -> Self {
        Self {
            rule: UNKNOWN_STATEMENT,
            what: "dsql-migrate does not know whether it can run again after an interruption"
                .to_owned(),
            remedy: format!(
                "if it can, add the line `-- dsql-migrate: allow({UNKNOWN_STATEMENT})` to the file"
            ),
        }
    }

    fn session(what: &str, remedy: &str) -> Self {
        Self {
            rule: SESSION,
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        }
    }

    /// Returns whether a file may allow it by its rule's name.
    pub(crate) fn can_be_allowed(&self) -> bool {
        self.rule != SESSION
    }
}

/// Decides how a statement is run.
pub(crate) fn classify(tokens: &[Token]) -> Result<Kind, Refusal> {
    let mut words = Words(tokens);
    match words.word().unwrap_or_default() {
        "create" => create::classify(words),
        "alter" => alter::classify(words),
        "drop" if words.contains(&["if", "exists"]) => Ok(Kind::Definition),
        "drop" => {
            let what = words.word().unwrap_or("..").to_ascii_uppercase();
            Err(Refusal::not_repeatable(format!("DROP {what} IF EXISTS ..")))
        }
        "aws" => trust(words).map(Kind::Effect).ok_or_else(Refusal::unknown),
        "grant" | "revoke" | "comment" | "reassign" | "analyze" => Ok(Kind::Definition),
        "call" if words.contains(&["wait_for_job"]) => Err(Refusal::session(
            "dsql-migrate waits for the jobs of a file by itself",
            "remove the statement",
        )),
        "insert" | "update" | "delete" | "merge" | "with" | "select" | "values" | "call" => {
            Ok(Kind::Change)
        }
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" => {
            Err(Refusal::session(
                "each statement has a transaction of its own",
                "remove the statement",
            ))
        }
        "set" | "reset" | "discard" => Err(Refusal::session(
            "a resumed run has another session, without this setting",
            "remove the statement, and write names with their schema",
        )),
        "copy" => Err(Refusal::session(
            "a file has no data for COPY",
            "write INSERT",
        )),
        "truncate" => Err(Refusal::session(
            "the service has no TRUNCATE",
            "write DELETE FROM, in statements of at most 3,000 rows",
        )),
        _ => Err(Refusal::unknown()),
    }
}

/// Reads `IAM GRANT role TO 'arn'` and `IAM REVOKE role FROM 'arn'`.
fn trust(mut words: Words<'_>) -> Option<Effect> {
    let is_grant = words.take(&["iam", "grant"]);
    if !is_grant && !words.take(&["iam", "revoke"]) {
        return None;
    }
    let role = words.name()?;
    if !words.take(&[if is_grant { "to" } else { "from" }]) {
        return None;
    }
    let arn = words.literal()?;
    Some(match is_grant {
        true => Effect::Trust { role, arn },
        false => Effect::NoTrust { role, arn },
    })
}

/// The rule of statements that fail when they run a second time.
const NOT_REPEATABLE: &str = "not_repeatable";

/// The rule of statements that no other rule covers.
const UNKNOWN_STATEMENT: &str = "unknown_statement";

/// The rule of statements that cannot be part of a migration. No file can allow them.
const SESSION: &str = "session";

#[cfg(test)]
mod tests;
