//! Counts retries by cause.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dsql_conn::Error;
use dsql_conn::tokio_postgres::error::SqlState;

use crate::progress::{Step, WorkerProgress};

/// The cause of a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A statement met a data conflict.
    DataConflict,
    /// A statement met a schema conflict.
    SchemaConflict,
    /// The connection was lost.
    LostConnection,
    /// The body returned `Ok`; the failure came at `COMMIT`.
    Commit,
    /// Another cause.
    Other,
}

/// The retries of all workers.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    runs: AtomicU64,
    again: [AtomicU64; Cause::ALL.len()],
}

/// The attempts of one call.
#[derive(Debug)]
pub(crate) struct Runs<'a> {
    retries: &'a Retries,
    worker_progress: &'a WorkerProgress,
    /// The end of the last attempt. `None` while one runs.
    ended: Mutex<Option<Cause>>,
}

impl Retries {
    /// The number of attempts.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// The number of retries, by cause.
    pub(crate) fn by_cause(&self) -> Vec<(Cause, u64)> {
        Cause::ALL
            .iter()
            .zip(&self.again)
            .map(|(cause, times)| (*cause, times.load(Ordering::Relaxed)))
            .collect()
    }
}

impl<'a> Runs<'a> {
    pub(crate) fn of(retries: &'a Retries, worker_progress: &'a WorkerProgress) -> Self {
        Self {
            retries,
            worker_progress,
            ended: Mutex::default(),
        }
    }

    /// Runs one attempt.
    pub(crate) async fn run(
        &self,
        body: impl Future<Output = Result<(), Error>>,
    ) -> Result<(), Error> {
        self.retries.runs.fetch_add(1, Ordering::Relaxed);
        if let Some(cause) = self.ended().take() {
            self.retries.again[cause as usize].fetch_add(1, Ordering::Relaxed);
        }
        self.worker_progress.at(Step::Body);
        let result = body.await;
        *self.ended() = Some(Cause::of(&result));
        self.worker_progress.at(Step::End);
        result
    }

    /// Whether `COMMIT` may be in flight: the last attempt returned `Ok`.
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
            Some(outcome) if *outcome.code() != SqlState::T_R_SERIALIZATION_FAILURE => Self::Other,
            Some(outcome) if outcome.message().contains("OC001") => Self::SchemaConflict,
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
            Self::Other => "another cause, such as a statement after the failed one",
        })
    }
}
