//! What a migrator reports while it works, and at the end.

use std::fmt;

use crate::difference::{Difference, State};
use crate::error::Error;
use crate::history::Comparison;
use crate::place::Place;

/// The next step of a migrator. The [`observer`](crate::Migrator::observer) gets it before the step
/// begins.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Opens a connection.
    Connecting,
    /// Claims a statement, or waits while another migrator runs it.
    Claiming(Place),
    /// Runs a statement.
    Applying(Place),
    /// Waits for the background jobs of a statement.
    Waiting(Place),
    /// Drops an index whose build failed.
    Dropping(Place),
    /// Records a statement.
    Recording(Place),
    /// Tries again after a conflict or a lost connection.
    Retrying(String),
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting"),
            Self::Claiming(place) => write!(f, "claiming {place}"),
            Self::Applying(place) => write!(f, "applying {place}"),
            Self::Waiting(place) => write!(f, "waiting for the job of {place}"),
            Self::Dropping(place) => write!(f, "dropping the failed index of {place}"),
            Self::Recording(place) => write!(f, "recording {place}"),
            Self::Retrying(error) => write!(f, "trying again: {error}"),
        }
    }
}

/// The outcome of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// This run applied it.
    Applied,
    /// It was applied before this run, or by another migrator meanwhile.
    Present,
    /// This run recorded it and did not run it.
    Baseline,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Applied => "applied",
            Self::Present => "present",
            Self::Baseline => "baseline",
        })
    }
}

/// A statement and its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The statement.
    pub place: Place,
    /// The outcome of the statement.
    pub outcome: Outcome,
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Report {
    /// Every statement of every file, in order.
    pub steps: Vec<Step>,
}

impl Report {
    /// Returns the steps of this run, without those that were present.
    pub fn done(&self) -> impl Iterator<Item = &Step> {
        let steps = self.steps.iter();
        steps.filter(|step| step.outcome != Outcome::Present)
    }
}

/// A migration, and how much of it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStatus {
    /// The migration's name.
    pub name: String,
    /// How much of it was applied.
    pub state: State,
}

/// A statement that would be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// Where it is.
    pub place: Place,
    /// Its text.
    pub sql: String,
}

/// The files compared with the history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub struct Status {
    /// Every migration, in order. Missing files come last.
    pub files: Vec<FileStatus>,
    /// The statements that [`up`](crate::Migrator::up) would apply, in order.
    pub pending: Vec<Pending>,
    /// The differences because of which `up` would refuse to run. Those that the migrator allows
    /// are left out.
    pub differences: Vec<Difference>,
}

impl Status {
    pub(crate) fn new(found: Comparison<'_>) -> Self {
        let files = found.states.into_iter();
        let pending = found.pending.into_iter();
        Self {
            files: files
                .map(|(name, state)| FileStatus { name, state })
                .collect(),
            pending: pending
                .map(|(_, statement)| Pending {
                    place: statement.place.clone(),
                    sql: statement.sql.clone(),
                })
                .collect(),
            differences: found.differences,
        }
    }

    /// Fails if the files are not those that were applied.
    ///
    /// # Errors
    ///
    /// [`Error::Differs`].
    pub fn check(&self) -> Result<(), Error> {
        match self.differences.is_empty() {
            true => Ok(()),
            false => Err(Error::Differs(self.differences.clone())),
        }
    }
}
