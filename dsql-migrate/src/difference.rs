//! How the files differ from what was applied.

mod lines;

use std::fmt;

pub(crate) use self::lines::lines;
use crate::place::Place;

/// How much of a migration was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// All statements.
    Applied,
    /// All statements, by [`baseline`](crate::Migrator::baseline): they were recorded but not run.
    Baseline,
    /// Some statements: a run was interrupted, or one failed.
    Partial,
    /// None.
    Pending,
    /// A statement that was applied has another text in the file now.
    Changed,
    /// The history has the migration, but its file is missing.
    Missing,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Applied => "applied",
            Self::Baseline => "baseline",
            Self::Partial => "partial",
            Self::Pending => "pending",
            Self::Changed => "changed",
            Self::Missing => "missing",
        })
    }
}

/// How the files differ from what was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// A statement that was applied has another text in its file.
    Changed {
        /// The statement.
        place: Place,
        /// The changed lines: `-` as applied, `+` as in the file.
        lines: String,
    },
    /// An applied migration has no file.
    Missing {
        /// Its name.
        name: String,
    },
    /// A migration that was not applied sorts before one that was.
    OutOfOrder {
        /// Its name.
        name: String,
        /// The applied one.
        before: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { place, lines } => write!(
                f,
                "{place} has changed since it was applied; restore it, and write the change as a \
                 new migration\n{lines}"
            ),
            Self::Missing { name } => write!(
                f,
                "{name}.sql was applied and is missing; restore it, or allow this by \
                 --allow-missing (Migrator::allow_missing)"
            ),
            Self::OutOfOrder { name, before } => write!(
                f,
                "{name}.sql was not applied and sorts before {before}.sql, which was; give it a \
                 higher number, or allow this by --allow-out-of-order \
                 (Migrator::allow_out_of_order)"
            ),
        }
    }
}
