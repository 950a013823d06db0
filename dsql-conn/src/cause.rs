//! Determines why an operation may be retried.

use std::error::Error as StdError;

use crate::error::{ConnectError, Error, is_lost};
use crate::sqlstate::{Meaning, ServerError};

/// Why an operation may be retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Another transaction wrote the same rows (OC000).
    Data,
    /// The session had not seen the latest schema change (OC001).
    Schema,
    /// A prepared statement was older than the schema, or unknown to the server.
    StalePlan,
    /// The connection was lost before anything was committed.
    Lost,
    /// The reply to `COMMIT` was lost, and the outcome table shows that nothing was applied.
    CommitLost,
    /// The server was unavailable for a statement; the session continues.
    Unavailable,
    /// The outcome is unknown.
    Unknown,
}

impl Cause {
    pub(crate) const COUNT: usize = 7;

    /// Returns a stable name for logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data_conflict",
            Self::Schema => "schema_conflict",
            Self::StalePlan => "stale_plan",
            Self::Lost => "connection_lost",
            Self::CommitLost => "commit_lost",
            Self::Unavailable => "unavailable",
            Self::Unknown => "commit_unknown",
        }
    }

    /// Returns the cause of the error that failed a transaction, if a retry may help.
    pub(crate) fn in_transaction(error: &ServerError) -> Option<Self> {
        match error.meaning() {
            Meaning::DataConflict => Some(Self::Data),
            Meaning::SchemaConflict => Some(Self::Schema),
            Meaning::StalePlan => Some(Self::StalePlan),
            Meaning::Unavailable => Some(Self::Unavailable),
            Meaning::Refused | Meaning::Ambiguous => None,
        }
    }

    /// Returns the cause of the error of a single statement, or of a whole transaction.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(error) = error.downcast_ref::<Error>() {
                return match error {
                    Error::Query(error) => Self::of_statement(error),
                    Error::CommitUnknown { .. } | Error::StatementTimeout { .. } => {
                        Some(Self::Unknown)
                    }
                    _ => None,
                };
            }
            if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
                return Self::of_statement(error);
            }
            // No statement was sent, and openings have their own retries.
            if error.is::<ConnectError>() {
                return None;
            }
            next = error.source();
        }
        None
    }

    fn of_statement(error: &tokio_postgres::Error) -> Option<Self> {
        let Some(server) = ServerError::of(error) else {
            return is_lost(error).then_some(Self::Unknown);
        };
        match server.meaning() {
            Meaning::DataConflict => Some(Self::Data),
            Meaning::SchemaConflict => Some(Self::Schema),
            meaning => (!meaning.excludes_applied()).then_some(Self::Unknown),
        }
    }
}
