//! Whether the service would run a statement: as it is, in another form, or not at all.
//! `forward` asks it for each statement of each text.

use crate::refusal::Refusal;
use crate::role;
use crate::statement::Statement;

/// What becomes of a statement.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// PostgreSQL runs it.
    Forward,
    /// PostgreSQL runs it, and it ends a transaction for good.
    Commit,
    /// PostgreSQL runs something else, and the client sees this tag.
    Translate { sql: String, tag: &'static str },
    /// PostgreSQL never sees it.
    Refuse(Refusal),
}

/// Judges one statement.
pub(crate) fn judge(statement: &Statement<'_>) -> Verdict {
    if statement.begins_with(&["commit"]) || statement.begins_with(&["end"]) {
        return Verdict::Commit;
    }
    if let Some((sql, tag)) = role::translate(statement) {
        return Verdict::Translate { sql, tag };
    }
    Verdict::Forward
}

/// Returns whether a statement opens a transaction.
pub(crate) fn begins(statement: &Statement<'_>) -> bool {
    statement.begins_with(&["begin"]) || statement.begins_with(&["start", "transaction"])
}
