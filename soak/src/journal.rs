//! What a worker was told about each of its transfers.

use std::borrow::Cow;

use dsql_conn::Error;

use crate::bank::Transfer;

/// A transfer, and what its worker was told of it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The transfer.
    pub transfer: Transfer,
    /// How it was made.
    pub manner: &'static str,
    /// The answer.
    pub answer: Answer,
}

/// An answer to a worker.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What it promises.
    pub told: Told,
    /// Its kind, to be counted by.
    pub kind: Cow<'static, str>,
    /// Its words, for whoever looks for the cause of a broken promise.
    pub words: String,
}

/// What an answer promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Told {
    /// It was applied, once.
    Committed,
    /// It was not applied, and will not be.
    NotCommitted,
    /// It was applied once or not at all.
    Unknown,
}

impl Answer {
    /// Makes an answer without words.
    pub fn new(told: Told, kind: &'static str) -> Self {
        Self {
            told,
            kind: kind.into(),
            words: String::new(),
        }
    }

    /// Reads what a transaction returned.
    pub fn of(result: &Result<(), Error>) -> Self {
        let Err(error) = result else {
            return Self::new(Told::Committed, "committed");
        };
        let (told, kind) = match error {
            Error::CommitUnknown { .. } => (Told::Unknown, "commit unknown"),
            Error::Conflict { .. } => (Told::NotCommitted, "conflict, given up"),
            Error::RolledBack { .. } => (Told::NotCommitted, "rolled back"),
            Error::TransactionTimedOut { .. } => (Told::NotCommitted, "past its deadline"),
            Error::TransactionEnded => (Told::NotCommitted, "ended by its body"),
            Error::TransactionEscaped => (Told::NotCommitted, "handle escaped"),
            Error::Query(error) if error.as_db_error().is_none() => {
                (Told::NotCommitted, "connection lost")
            }
            Error::Query(_) => (Told::NotCommitted, "statement refused"),
            Error::Connect(_) => (Told::NotCommitted, "no connection opened"),
            Error::CheckoutTimeout { .. } => (Told::NotCommitted, "no connection in time"),
            _ => (Told::NotCommitted, "another error"),
        };
        let kind = match error.code() {
            Some(state) => format!("{kind}, {}", state.code()).into(),
            None => kind.into(),
        };
        Self {
            told,
            kind,
            words: error.to_string(),
        }
    }
}
