//! The result that a worker got for each of its transfers.

use std::borrow::Cow;

use dsql_conn::Error;

use crate::bank::Transfer;

/// A transfer and its result.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The transfer.
    pub transfer: Transfer,
    /// The usage pattern.
    pub usage: &'static str,
    /// The result.
    pub answer: CallResult,
}

/// The result of a call.
#[derive(Debug, Clone)]
pub struct CallResult {
    /// What it promises.
    pub outcome: Outcome,
    /// Its kind, for counting.
    pub kind: Cow<'static, str>,
    /// The error's message, to analyse a broken promise.
    pub words: String,
}

/// What a result promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The transfer was applied, exactly once.
    Committed,
    /// The transfer was not applied, and never will be.
    NotCommitted,
    /// The transfer was applied once or not at all.
    Unknown,
}

impl CallResult {
    /// A result without a message.
    pub fn new(outcome: Outcome, kind: &'static str) -> Self {
        Self {
            outcome,
            kind: kind.into(),
            words: String::new(),
        }
    }

    /// Classifies what a transaction returned.
    pub fn of(result: &Result<(), Error>) -> Self {
        let Err(error) = result else {
            return Self::new(Outcome::Committed, "committed");
        };
        let (outcome, kind) = match error {
            Error::CommitUnknown { .. } => (Outcome::Unknown, "commit unknown"),
            Error::Conflict { .. } => (Outcome::NotCommitted, "conflict after all attempts"),
            Error::RolledBack { .. } => (Outcome::NotCommitted, "rolled back"),
            Error::TransactionTimedOut { .. } => (Outcome::NotCommitted, "deadline passed"),
            Error::TransactionEnded => (Outcome::NotCommitted, "ended by its body"),
            Error::TransactionEscaped => (Outcome::NotCommitted, "handle escaped"),
            Error::Query(error) if error.as_db_error().is_none() => {
                (Outcome::NotCommitted, "connection lost")
            }
            Error::Query(_) => (Outcome::NotCommitted, "statement refused"),
            Error::Connect(_) => (Outcome::NotCommitted, "no connection opened"),
            Error::CheckoutTimeout { .. } => (Outcome::NotCommitted, "checkout timed out"),
            _ => (Outcome::NotCommitted, "another error"),
        };
        let kind = match error.code() {
            Some(state) => format!("{kind}, {}", state.code()).into(),
            None => kind.into(),
        };
        Self {
            outcome,
            kind,
            words: error.to_string(),
        }
    }
}
