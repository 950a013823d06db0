//! Problems of a file that are found before anything is sent.

use std::fmt;

use crate::place::Place;

/// A problem of a statement in a file, or of the file.
///
/// A file allows most of them by a line such as `-- dsql-migrate: allow(not_repeatable)`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where it is.
    pub place: Place,
    /// The name by which a file allows it.
    pub rule: String,
    /// What is wrong.
    pub what: String,
    /// What to do instead.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            rule,
            what,
            remedy,
        } = self;
        write!(f, "{place}: {what} [{rule}]; {remedy}")
    }
}
