//! The statements that the service runs in the background: `CREATE INDEX ASYNC` and `ALTER TABLE
//! ASYNC`. They run at once here, and still add a job to `sys.jobs`.

use crate::sql::role::literal;
use crate::sql::statement::Statement;

/// Translates an ASYNC statement. Returns the SQL and the command tag to reply with.
pub(crate) fn translate(
    statement: &Statement<'_>,
    method: Option<[usize; 2]>,
) -> Option<(String, &'static str)> {
    let (kind, tag) = if statement.begins_with(&["create", "index", "async"])
        || statement.begins_with(&["create", "unique", "index", "async"])
    {
        ("INDEX_BUILD", "CREATE INDEX")
    } else if statement.begins_with(&["alter", "table", "async"]) {
        ("VALIDATE_CONSTRAINT", "ALTER TABLE")
    } else {
        return None;
    };
    let asynchronous = statement.find(&["async"])?;
    let text = statement.without(
        [asynchronous]
            .into_iter()
            .chain(method.into_iter().flatten()),
    );
    let object = object(statement).map_or_else(|| "NULL".to_owned(), literal);
    Some((
        format!(
            "SELECT pg_toast.dsql_run_job('{kind}', {object}, {}) AS job_id",
            literal(&text)
        ),
        tag,
    ))
}

/// Returns the object's name after ASYNC, if any.
fn object<'a>(statement: &'a Statement<'_>) -> Option<&'a str> {
    let after = statement.find(&["async"])? + 1;
    let name = match statement.word(after) {
        Some("if") => after + 3,
        Some("on") => return None,
        _ => after,
    };
    statement.tokens.get(name)?.as_name()
}
