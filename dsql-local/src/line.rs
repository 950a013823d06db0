//! What both directions of a session know of each other.
//! `request` notes here what is due, `reply` what came, and `forward` hands it to the two.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::answer::Answers;
use crate::schema::Catalog;

/// The state of a session between its two directions.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) answers: Answers,
    /// The engine's last word on the transaction: `I`, `T` or `E`.
    pub(crate) status: u8,
    pub(crate) catalog: Catalog,
}

impl Line {
    /// Returns whether no transaction is open and no answer due.
    pub(crate) fn is_idle(&self) -> bool {
        self.status == b'I' && !self.answers.awaits_ready()
    }
}

impl Default for Line {
    fn default() -> Self {
        Self {
            answers: Answers::default(),
            status: b'I',
            catalog: Catalog::default(),
        }
    }
}

/// A [`Line`] in the hands of both directions.
#[derive(Debug, Default)]
pub(crate) struct SharedLine(Mutex<Line>);

impl SharedLine {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
