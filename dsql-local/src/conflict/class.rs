//! The kinds of statements that conflicts depend on.

use crate::sql::rules;
use crate::sql::statement::Statement;

/// The kind of a statement. The greatest kind of several statements decides how they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Read,
    /// COPY FROM, which cannot be repeated: its data is not kept.
    Copy,
    /// SELECT FOR KEY SHARE.
    LockShared,
    /// SELECT FOR UPDATE.
    Lock,
    Write,
    Definition,
    Rollback,
    Commit,
    Begin,
}

impl Class {
    /// Returns whether the statement begins or ends a transaction.
    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Begin | Self::Commit | Self::Rollback)
    }

    pub(crate) fn of(statement: &Statement<'_>) -> Self {
        match statement.word(0) {
            Some("begin") => Self::Begin,
            Some("start") if statement.word(1) == Some("transaction") => Self::Begin,
            Some("commit" | "end") => Self::Commit,
            Some("rollback" | "abort") => Self::Rollback,
            Some("copy") if rules::copies_in(&statement.tokens) => Self::Copy,
            Some("create" | "alter" | "drop" | "grant" | "revoke" | "comment" | "do") => {
                Self::Definition
            }
            // The translation of the ASYNC statements.
            Some("select") if statement.begins_with(&["select", "dsql_local"]) => Self::Definition,
            Some("insert" | "update" | "delete" | "merge" | "call") => Self::Write,
            Some("with" | "explain") if rules::changes(&statement.tokens) => Self::Write,
            _ if statement.find(&["for", "update"]).is_some() => Self::Lock,
            _ if statement.find(&["for", "key", "share"]).is_some() => Self::LockShared,
            _ => Self::Read,
        }
    }
}
