//! What the service does in the background: `CREATE INDEX ASYNC` and `ALTER TABLE ASYNC`. Here it
//! is done at once, by the SQL made here, and is a job in `sys.jobs` all the same. `rules` calls
//! it.

use crate::sql::role::literal;
use crate::sql::statement::Statement;

/// Returns PostgreSQL's way to do what an ASYNC statement asks for, and the tag to answer with.
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

/// Returns the name after ASYNC, if there is one.
fn object<'a>(statement: &'a Statement<'_>) -> Option<&'a str> {
    let after = statement.find(&["async"])? + 1;
    let name = match statement.word(after) {
        Some("if") => after + 3,
        Some("on") => return None,
        _ => after,
    };
    statement.tokens.get(name)?.as_name()
}
