//! The statements that the service does not have, and its words for each.
//! `rules` asks here first. The words are recorded from a real cluster (Dreamescaper/dsql-emulator,
//! `test/conformance/golden`, September 2026), or made after their pattern: see [`GUESSED`].

use super::{alter, create, setting};
use crate::refusal::Refusal;
use crate::statement::{Statement, Token};

/// Returns why the service refuses a statement whatever the transaction, if it does.
pub(super) fn refuse(statement: &Statement<'_>) -> Option<Refusal> {
    if let Some((_, message)) = RECORDED
        .iter()
        .chain(GUESSED)
        .find(|(words, _)| statement.begins_with(words))
    {
        return Some(Refusal::unsupported(*message));
    }
    match statement.word(0)? {
        "begin" | "start" => isolation(statement),
        "set" => isolation(statement)
            .filter(|_| statement.top_level("transaction").is_some())
            .or_else(|| setting::refuse(statement)),
        "create" => create::refuse(statement),
        "alter" => alter::refuse(statement),
        "show" if statement.word(1) == Some("lc_collate") => Some(Refusal::Unknown {
            message: "unrecognized configuration parameter \"lc_collate\"".into(),
        }),
        "rollback" => statement.top_level("to").map(|_| {
            // `ROLLBACK TO`, with the words between that may be there.
            Refusal::unsupported("unsupported transaction statement: ROLLBACK TO")
        }),
        "select" | "with" | "insert" | "update" | "delete" | "values" | "table" => query(statement),
        _ => None,
    }
}

/// Refuses other isolation levels than the one that the service has.
fn isolation(statement: &Statement<'_>) -> Option<Refusal> {
    let at = statement.find(&["isolation", "level"])?;
    let level = [
        statement.word(at + 2)?,
        statement.word(at + 3).unwrap_or(""),
    ];
    let level = match level {
        ["repeatable", "read"] => return None,
        ["read", second] => format!("READ {}", second.to_uppercase()),
        [first, _] => first.to_uppercase(),
    };
    Some(Refusal::unsupported(format!(
        "Unsupported isolation level: {level}"
    )))
}

fn query(statement: &Statement<'_>) -> Option<Refusal> {
    let unsupported = |message: &'static str| Some(Refusal::unsupported(message));
    if statement.find(&["for", "share"]).is_some()
        || statement.find(&["for", "no", "key", "update"]).is_some()
    {
        return unsupported(
            "locking clauses other than FOR UPDATE/FOR KEY SHARE are not supported",
        );
    }
    if statement.find(&["tablesample"]).is_some() {
        return unsupported("TABLESAMPLE clause not supported");
    }
    let selects_into = statement.top_level("into").is_some_and(|at| {
        !matches!(
            at.checked_sub(1).and_then(|at| statement.word(at)),
            Some("insert" | "merge")
        )
    });
    if selects_into {
        return unsupported("SELECT INTO not supported");
    }
    statement.calls().find_map(|(name, argument)| {
        if LOCKS.iter().any(|prefix| name.starts_with(prefix)) {
            return Some(Refusal::unsupported(format!(
                "function {name} not supported"
            )));
        }
        match argument {
            Some(Token::Literal(setting)) if name == "set_config" => {
                setting::refuse_name(&setting.to_lowercase())
            }
            _ => None,
        }
    })
}

const LOCKS: [&str; 2] = ["pg_advisory_", "pg_try_advisory_"];

const RECORDED: &[(&[&str], &str)] = &[
    (&["truncate"], "unsupported statement: Truncate"),
    (
        &["create", "extension"],
        "unsupported statement: CreateExtension",
    ),
    (&["create", "trigger"], "CREATE TRIGGER not supported"),
    (&["create", "database"], "unsupported statement: Createdb"),
    (
        &["create", "materialized", "view"],
        "unsupported statement: CreateTableAs",
    ),
    (
        &["create", "tablespace"],
        "unsupported statement: CreateTableSpace",
    ),
    (
        &["create", "foreign", "table"],
        "unsupported statement: CreateForeignTable",
    ),
    (&["vacuum"], "unsupported VACUUM statement"),
    (&["listen"], "unsupported statement: Listen"),
    (&["notify"], "unsupported statement: Notify"),
    (&["unlisten"], "unsupported statement: Unlisten"),
    (&["alter", "system"], "unsupported statement: AlterSystem"),
    (&["merge"], "unsupported statement type: MERGE"),
    (
        &["savepoint"],
        "unsupported transaction statement: SAVEPOINT",
    ),
    (&["alter", "type"], "ALTER TYPE not supported"),
    (&["drop", "type"], "unsupported object in DROP statement"),
];

/// That these are refused is documented or reported; the words are the recorded ones' pattern: the name
/// of PostgreSQL's parse node.
const GUESSED: &[(&[&str], &str)] = &[
    (&["release"], "unsupported transaction statement: RELEASE"),
    (
        &["prepare", "transaction"],
        "unsupported transaction statement: PREPARE TRANSACTION",
    ),
    (
        &["create", "constraint", "trigger"],
        "CREATE TRIGGER not supported",
    ),
    (
        &["create", "or", "replace", "trigger"],
        "CREATE TRIGGER not supported",
    ),
    (
        &["create", "event", "trigger"],
        "unsupported statement: CreateEventTrig",
    ),
    (
        &["create", "foreign", "data"],
        "unsupported statement: CreateFdw",
    ),
    (
        &["create", "server"],
        "unsupported statement: CreateForeignServer",
    ),
    (
        &["create", "publication"],
        "unsupported statement: CreatePublication",
    ),
    (
        &["create", "subscription"],
        "unsupported statement: CreateSubscription",
    ),
    (&["create", "rule"], "unsupported statement: Rule"),
    (&["create", "policy"], "unsupported statement: CreatePolicy"),
    (
        &["create", "language"],
        "unsupported statement: CreatePLang",
    ),
    (&["create", "aggregate"], "unsupported statement: Define"),
    (&["create", "operator"], "unsupported statement: Define"),
    (&["create", "collation"], "unsupported statement: Define"),
    (&["create", "cast"], "unsupported statement: CreateCast"),
    (
        &["alter", "database"],
        "unsupported statement: AlterDatabase",
    ),
    (&["drop", "database"], "unsupported statement: Dropdb"),
    (&["refresh"], "unsupported statement: RefreshMatView"),
    (&["security", "label"], "unsupported statement: SecLabel"),
    (&["lock"], "unsupported statement: Lock"),
    (&["do"], "unsupported statement: Do"),
    (&["load"], "unsupported statement: Load"),
    (&["cluster"], "unsupported statement: Cluster"),
    (&["reindex"], "unsupported statement: Reindex"),
    (&["checkpoint"], "unsupported statement: CheckPoint"),
];
