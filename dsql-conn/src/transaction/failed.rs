//! Why an attempt did not commit.

use crate::cause::Cause;
use crate::error::Error;
use crate::sqlstate::ServerError;
use crate::telemetry::{Unfinished, event};

/// Why an attempt did not commit.
pub(super) enum Failed<T, E> {
    /// Permanent.
    Permanent(E),
    /// The deadline passed before `COMMIT` was sent.
    TimedOut { unread_rows: bool },
    /// `COMMIT` was sent and its outcome never arrived.
    Unknown {
        /// What the body returned.
        value: T,
        source: Option<tokio_postgres::Error>,
    },
    /// A conflict with another transaction. Nothing was applied.
    Conflict {
        error: ServerError,
        cause: Cause,
        /// Whether the connection may serve the next attempt.
        reusable: bool,
    },
    /// Transient. Carries the error to return when attempts run out.
    Transient {
        cause: Cause,
        error: E,
        reusable: bool,
    },
}

impl<T, E> Failed<T, E> {
    /// Returns what the attempt's event reports.
    pub(super) fn unfinished(&self) -> Unfinished {
        let (outcome, cause, code) = match self {
            Self::Permanent(_) => (event::FAILED, None, None),
            Self::TimedOut { .. } => (event::TIMED_OUT, None, None),
            Self::Unknown { source, .. } => {
                let code = source.as_ref().and_then(|error| error.code());
                (event::UNKNOWN, Some(Cause::Unknown), code.cloned())
            }
            Self::Conflict { error, cause, .. } => {
                (event::FAILED, Some(*cause), Some(error.code().clone()))
            }
            Self::Transient { cause, .. } => (event::FAILED, Some(*cause), None),
        };
        Unfinished {
            outcome,
            cause,
            code,
        }
    }
}

impl<T, E: From<Error>> From<Error> for Failed<T, E> {
    fn from(error: Error) -> Self {
        Self::Permanent(error.into())
    }
}

pub(super) fn lost<T, E: From<Error>>(error: Error) -> Failed<T, E> {
    Failed::Transient {
        cause: Cause::Lost,
        error: error.into(),
        reusable: false,
    }
}
