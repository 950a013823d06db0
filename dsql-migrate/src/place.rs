//! Where a statement is: file, line and number.

use std::fmt;
use std::sync::Arc;

/// Where a statement is. Displayed as `0001_games.sql:3: statement 2`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Place {
    /// The migration's name: that of its file, without `.sql`.
    pub name: Arc<str>,
    /// The line in the file, from 1.
    pub line: usize,
    /// The number of the statement in the file, from 1. 0 means the file as a whole.
    pub statement: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.sql:{}", self.name, self.line)?;
        match self.statement {
            0 => Ok(()),
            number => write!(f, ": statement {number}"),
        }
    }
}
