//! Statements that the engine runs in another form, so that it replies like the service.

use super::alter;
use super::read::Reader;
use crate::sql::role::literal;
use crate::sql::statement::{Statement, Token};

/// Returns the other form and the command tag to reply with, if there is one.
pub(super) fn translate(statement: &Statement<'_>) -> Option<(String, &'static str)> {
    let mut reader = Reader::new(&statement.tokens);
    match reader.peek() {
        "alter" if reader.take(&["alter", "table"]) => drop_from_table(statement, reader),
        "analyze" | "analyse" if statement.tokens.len() == 1 => Some((
            // The engine warns about each of its own tables, which users may not analyze.
            do_block(
                "PERFORM dsql_engine_set_config('client_min_messages', 'error', true); \
                 EXECUTE 'ANALYZE'; \
                 PERFORM dsql_engine_set_config('client_min_messages', 'notice', true);",
            ),
            "ANALYZE",
        )),
        "call" if waits_for_job(&statement.tokens) => Some((
            format!("CALL pg_toast.dsql_wait_for_job{}", statement.after(3)),
            "CALL",
        )),
        _ => None,
    }
}

/// Returns whether the statement waits for a job.
pub(super) fn waits_for_job(tokens: &[Token]) -> bool {
    let mut reader = Reader::new(tokens);
    reader.take(&["call"])
        && reader.name() == Some("sys")
        && reader.take_symbol('.')
        && reader.name() == Some("wait_for_job")
}

/// Translates DROP COLUMN and DROP CONSTRAINT. The service refuses them for a primary key, which
/// only the engine can recognize.
fn drop_from_table(
    statement: &Statement<'_>,
    mut reader: Reader<'_>,
) -> Option<(String, &'static str)> {
    let table = alter::table_name(&mut reader)?;
    let (columns, constraints) = alter::dropped(reader.rest());
    if columns.is_empty() && constraints.is_empty() {
        return None;
    }
    let array = |names: Vec<&str>| {
        let names: Vec<_> = names.into_iter().map(literal).collect();
        format!("ARRAY[{}]::name[]", names.join(", "))
    };
    let check = format!(
        "PERFORM pg_toast.dsql_check_drop({}, {}, {}); EXECUTE {};",
        literal(&table),
        array(columns),
        array(constraints),
        literal(statement.text)
    );
    Some((do_block(&check), "ALTER TABLE"))
}

fn do_block(body: &str) -> String {
    format!("DO {}", literal(&format!("BEGIN {body} END")))
}
