//! The compared programs, and their names in the records.

use crate::measured::Row;

/// A program, and the usual way to use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    Aws,
    Bb8,
    Deadpool,
    /// Blocking sockets, every message sent as early as possible: the lower bound of any pool.
    Floor,
}

impl Program {
    pub(crate) const PEERS: [Self; 3] = [Self::Aws, Self::Bb8, Self::Deadpool];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "dsql-conn",
            Self::Aws => "AWS connector (sqlx)",
            Self::Bb8 => "bb8-postgres",
            Self::Deadpool => "deadpool-postgres",
            Self::Floor => "floor",
        }
    }

    /// Whether the row is this program's, as it is by default.
    pub(crate) fn is(self, row: &Row) -> bool {
        let names: &[&str] = match self {
            Self::Ours => &["dsql-conn", "ours"],
            Self::Aws => &["aurora-dsql-sqlx-connector", "aws-connector"],
            Self::Bb8 => &["bb8-postgres", "bb8-postgres-peer"],
            Self::Deadpool => &["deadpool-postgres", "deadpool-peer"],
            Self::Floor => &["floor"],
        };
        names.contains(&row.text("program"))
    }
}

/// The name that readers see.
pub(crate) fn shown(name: &str) -> &str {
    match name {
        "ours" => "dsql-conn",
        "aws-connector" => "AWS connector (sqlx)",
        "aurora-dsql-sqlx-connector" => "AWS connector (sqlx)",
        "bb8-postgres-peer" => "bb8-postgres",
        "deadpool-peer" => "deadpool-postgres",
        other => other,
    }
}
