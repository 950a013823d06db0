//! Why a run of batches ended before its last row.

use std::error::Error as StdError;
use std::{fmt, iter};

use tokio_postgres::error::SqlState;

use super::progress::Progress;
use crate::error::{Error, debug_like_display, unquoted_source};

/// Why a run of batches ended before its last row.
///
/// `Display` names the batch and its keys, the cause, and what was committed before.
#[non_exhaustive]
pub struct BatchError {
    /// What the run had committed before.
    pub progress: Progress,
    /// What went wrong.
    pub problem: BatchProblem,
}

/// What went wrong with a batch.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchProblem {
    /// The batch's transaction failed. Nothing of it was applied, unless
    /// [`may_have_applied`](BatchError::may_have_applied) says otherwise.
    Failed {
        /// The key of the batch's first row.
        first_key: String,
        /// The key of its last row.
        last_key: String,
        /// How many rows it has.
        rows: usize,
        /// The sum of their bytes.
        bytes: usize,
        /// The error of the transaction, or the body's own.
        error: Box<dyn StdError + Send + Sync>,
        /// Whether the batch may have been applied all the same: its `COMMIT` was sent, and its
        /// outcome is unknown.
        may_have_applied: bool,
    },

    /// A row is larger than [`max_bytes`](super::Batches::max_bytes). All rows before it were
    /// written.
    RowTooLarge {
        /// The row's key.
        key: String,
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },

    /// The source of the rows failed. All rows before its failure were written.
    Rows(Box<dyn StdError + Send + Sync>),

    /// Another run has begun the job. Nothing of this batch was applied.
    TakenOver {
        /// The name of the job.
        job: String,
    },

    /// The future of an earlier batch was dropped before its end, so that the outcome of that batch
    /// is unknown. Start a run anew, behind the rows that were written.
    Interrupted,
}

impl BatchError {
    /// Whether the batch that failed may have been applied.
    pub fn may_have_applied(&self) -> bool {
        match &self.problem {
            BatchProblem::Failed {
                may_have_applied, ..
            } => *may_have_applied,
            BatchProblem::Interrupted => true,
            BatchProblem::RowTooLarge { .. }
            | BatchProblem::Rows(_)
            | BatchProblem::TakenOver { .. } => false,
        }
    }

    /// Returns this crate's error, if one is the cause or among its sources.
    pub fn error(&self) -> Option<&Error> {
        let mut causes = iter::successors(self.cause(), |&error| error.source());
        causes.find_map(|error| error.downcast_ref())
    }

    /// Returns the error of the transaction or of the source, which may be one of the caller's.
    fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.problem {
            BatchProblem::Failed { error, .. } | BatchProblem::Rows(error) => Some(&**error),
            BatchProblem::RowTooLarge { .. }
            | BatchProblem::TakenOver { .. }
            | BatchProblem::Interrupted => None,
        }
    }

    fn remedy(&self) -> Option<&'static str> {
        match &self.problem {
            BatchProblem::Failed { .. } => {
                let is_limit =
                    |error: &Error| error.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED);
                self.error()
                    .is_some_and(is_limit)
                    .then_some("make batches smaller by Batches::max_rows and Batches::max_bytes")
            }
            BatchProblem::RowTooLarge { .. } => Some("raise Batches::max_bytes, or split the row"),
            BatchProblem::Rows(_) => None,
            BatchProblem::TakenOver { .. } => Some("leave the rows to the other run"),
            BatchProblem::Interrupted => Some("start again behind the rows that were written"),
        }
    }

    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batch = self.progress.batches + 1;
        match &self.problem {
            BatchProblem::Failed {
                first_key,
                last_key,
                rows,
                bytes,
                error,
                may_have_applied: _,
            } => write!(
                f,
                "batch {batch} failed, with {rows} rows and {bytes} bytes from key {first_key:?} \
                 to key {last_key:?}: {error}"
            ),
            BatchProblem::RowTooLarge {
                key,
                bytes,
                max_bytes,
            } => write!(
                f,
                "the row with key {key:?} has {bytes} bytes, and a batch at most {max_bytes}"
            ),
            BatchProblem::Rows(error) => write!(f, "the source of the rows failed: {error}"),
            BatchProblem::TakenOver { job } => write!(
                f,
                "another run has begun the job {job:?}, so that batch {batch} was not written"
            ),
            BatchProblem::Interrupted => {
                write!(
                    f,
                    "batch {batch} was interrupted, so that its outcome is unknown"
                )
            }
        }
    }
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what(f)?;
        write!(f, "; committed before: {}", self.progress)?;
        match self.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// Reads like `Display`, with the sources below it.
impl fmt::Debug for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_like_display(f, self, self.cause())
    }
}

impl StdError for BatchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause()
            .and_then(|cause| unquoted_source(&self.to_string(), cause))
    }
}
