//! The statements that the service refuses, and its message for each. The messages were recorded
//! from a real cluster (Dreamescaper/dsql-emulator, `test/conformance/golden`, September 2026) or
//! reported from live clusters. The others follow their pattern: the name of PostgreSQL's parse
//! node.

use super::read::Reader;
use super::{alter, create, query, setting};
use crate::refusal::Refusal;
use crate::sql::statement::Token;

/// Returns why the service refuses a statement in any transaction, if it does.
pub(super) fn refuse(tokens: &[Token]) -> Option<Refusal> {
    let mut reader = Reader::new(tokens);
    let refusal = match reader.peek() {
        "begin" | "start" => isolation(reader),
        "explain" => return refuse(explained(reader)),
        "prepare" if reader.take(&["prepare", "transaction"]) => {
            unsupported("unsupported transaction statement: PREPARE TRANSACTION")
        }
        "set" => set(reader),
        "create" => {
            reader.next();
            create::refuse(reader, refuse)
        }
        "alter" => {
            reader.next();
            alter::refuse(reader)
        }
        // Some pools send DEALLOCATE ALL when a connection is returned.
        "deallocate" if reader.take(&["deallocate"]) => {
            reader.take(&["prepare"]);
            (reader.peek() != "all")
                .then(|| Refusal::unsupported("unsupported statement: Deallocate"))
        }
        "drop" => {
            reader.next();
            dropped(reader)
        }
        "commit" | "rollback" if reader.contains("prepared") => {
            unsupported("unsupported transaction statement: COMMIT PREPARED")
        }
        "rollback" if reader.contains("to") => {
            unsupported("unsupported transaction statement: ROLLBACK TO")
        }
        "with" if reader.contains("merge") => unsupported("unsupported statement type: MERGE"),
        _ => REFUSED
            .iter()
            .find(|(words, _)| reader.take(words))
            .and_then(|(_, message)| unsupported(message)),
    };
    refusal.or_else(|| query::refuse(tokens))
}

/// Returns the statement inside an EXPLAIN.
pub(super) fn explained(mut reader: Reader<'_>) -> &[Token] {
    reader.next();
    if reader.is_at('(') && !begins_a_query(reader) {
        reader.group();
    } else {
        reader.take_any(&["analyze", "analyse"]);
        reader.take(&["verbose"]);
    }
    reader.rest()
}

/// Returns whether the parentheses contain a query, not options.
fn begins_a_query(mut reader: Reader<'_>) -> bool {
    let inner = reader.group().unwrap_or_default();
    let mut inner = Reader::new(inner);
    while let Some(group) = inner.group() {
        inner = Reader::new(group);
    }
    matches!(inner.peek(), "select" | "with" | "values" | "table")
}

fn unsupported(message: &'static str) -> Option<Refusal> {
    Some(Refusal::unsupported(message))
}

fn set(mut reader: Reader<'_>) -> Option<Refusal> {
    let mut characteristics = reader;
    if characteristics.take(&["set", "session", "characteristics"]) {
        return isolation(characteristics);
    }
    let is_of_transaction = reader.take(&["set", "transaction"])
        || reader.take(&["set", "local", "transaction"])
        || reader.take(&["set", "session", "transaction"]);
    if is_of_transaction {
        return isolation(reader).or_else(|| setting::refuse_name("TRANSACTION"));
    }
    setting::refuse(reader)
}

/// Refuses isolation levels other than REPEATABLE READ.
fn isolation(mut reader: Reader<'_>) -> Option<Refusal> {
    reader.until(&["isolation"]);
    if !reader.take(&["isolation", "level"]) {
        return None;
    }
    let first = reader.peek();
    reader.next();
    let level = match [first, reader.peek()] {
        ["repeatable", "read"] => return None,
        ["read", second] => format!("READ {}", second.to_uppercase()),
        [first, _] => first.to_uppercase(),
    };
    Some(Refusal::unsupported(format!(
        "Unsupported isolation level: {level}"
    )))
}

fn dropped(mut reader: Reader<'_>) -> Option<Refusal> {
    if reader.take(&["type"]) || reader.take(&["policy"]) || reader.take(&["materialized", "view"])
    {
        return unsupported("unsupported object in DROP statement");
    }
    if reader.take(&["database"]) {
        return unsupported("unsupported statement: Dropdb");
    }
    if reader.take(&["index", "concurrently"]) {
        return unsupported("CONCURRENTLY not supported for DROP INDEX");
    }
    if reader.take(&["domain"]) && reader.contains("cascade") {
        return unsupported("DROP DOMAIN with CASCADE unsupported");
    }
    None
}

const REFUSED: &[(&[&str], &str)] = &[
    // Recorded from a real cluster.
    (&["truncate"], "unsupported statement: Truncate"),
    (&["vacuum"], "unsupported VACUUM statement"),
    (&["listen"], "unsupported statement: Listen"),
    (&["notify"], "unsupported statement: Notify"),
    (&["unlisten"], "unsupported statement: Unlisten"),
    (&["merge"], "unsupported statement type: MERGE"),
    (
        &["savepoint"],
        "unsupported transaction statement: SAVEPOINT",
    ),
    // Reported from live clusters.
    (&["execute"], "unsupported statement: Execute"),
    // Documented as unsupported; the messages follow the pattern.
    (&["release"], "unsupported transaction statement: RELEASE"),
    (&["prepare"], "unsupported statement: Prepare"),
    (&["declare"], "unsupported statement: DeclareCursor"),
    (&["discard"], "unsupported statement: Discard"),
    (&["refresh"], "unsupported statement: RefreshMatView"),
    (&["security", "label"], "unsupported statement: SecLabel"),
    (&["lock"], "unsupported statement: Lock"),
    (&["do"], "unsupported statement: Do"),
    (&["load"], "unsupported statement: Load"),
    (&["cluster"], "unsupported statement: Cluster"),
    (&["reindex"], "unsupported statement: Reindex"),
    (&["checkpoint"], "unsupported statement: CheckPoint"),
    (
        &["import", "foreign"],
        "unsupported statement: ImportForeignSchema",
    ),
];
