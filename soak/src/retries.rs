//! Counts how often bodies were run again, and after what.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dsql_conn::Error;
use dsql_conn::tokio_postgres::error::SqlState;

use crate::floor::{Stand, Step};

/// After what a body was run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A statement of it met another transaction's change.
    DataConflict,
    /// A statement of it met a change of the schema.
    SchemaConflict,
    /// Its connection was lost.
    LostConnection,
    /// Its own end was well: what failed came later, at `COMMIT`.
    Commit,
    /// Something else.
    Other,
}

/// How often bodies ran again, over all workers.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    runs: AtomicU64,
    again: [AtomicU64; Cause::ALL.len()],
}

/// The runs of one call's body.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    retries: &'a Retries,
    stand: &'a Stand,
    /// How the last run ended. Nothing while one is under way.
    ended: Mutex<Option<Cause>>,
}

impl Retries {
    /// How often bodies ran.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// How often bodies were run again, by cause.
    pub(crate) fn by_cause(&self) -> Vec<(Cause, u64)> {
        Cause::ALL
            .iter()
            .zip(&self.again)
            .map(|(cause, times)| (*cause, times.load(Ordering::Relaxed)))
            .collect()
    }
}

impl<'a> Runs<'a> {
    pub(crate) fn of(retries: &'a Retries, stand: &'a Stand) -> Self {
        Self {
            retries,
            stand,
            ended: Mutex::default(),
        }
    }

    /// Runs a body.
    pub(crate) async fn run(
        &self,
        body: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        self.retries.runs.fetch_add(1, Ordering::Relaxed);
        if let Some(cause) = self.ended().take() {
            self.retries.again[cause as usize].fetch_add(1, Ordering::Relaxed);
        }
        self.stand.at(Step::Body);
        let result = body.await;
        *self.ended() = Some(Cause::of(&result));
        self.stand.at(Step::End);
        result
    }

    /// Whether a `COMMIT` may be under way: the last run has ended, and well.
    pub(crate) fn may_commit(&self) -> bool {
        *self.ended() == Some(Cause::Commit)
    }

    fn ended(&self) -> MutexGuard<'_, Option<Cause>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cause {
    const ALL: [Self; 5] = [
        Self::DataConflict,
        Self::SchemaConflict,
        Self::LostConnection,
        Self::Commit,
        Self::Other,
    ];

    fn of(result: &Result<(), Error>) -> Self {
        let error = match result {
            Ok(()) => return Self::Commit,
            Err(Error::Query(error)) => error,
            Err(_) => return Self::Other,
        };
        match error.as_db_error() {
            None => Self::LostConnection,
            Some(told) if *told.code() != SqlState::T_R_SERIALIZATION_FAILURE => Self::Other,
            Some(told) if told.message().contains("OC001") => Self::SchemaConflict,
            Some(_) => Self::DataConflict,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DataConflict => "data conflict at a statement",
            Self::SchemaConflict => "schema conflict at a statement",
            Self::LostConnection => "connection lost in the body",
            Self::Commit => "conflict or loss at COMMIT",
            Self::Other => "something else, such as a statement behind the one that failed",
        })
    }
}
