//! How an attempt prepares for a lost `COMMIT`.

use std::time::SystemTime;

use crate::outcomes::{OutcomeId, Outcomes};
use crate::retry::RetryPolicy;

/// What an attempt does for the case that the reply to its `COMMIT` is lost.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// Nothing: the outcome is unknown then.
    Plain,
    /// It cannot write, so that it may run again.
    ReadOnly,
    /// It inserts a row with this ID.
    Recorded(Outcomes, OutcomeId),
}

impl Mode {
    /// Chooses for the next attempt, each of which has an ID of its own. Reads the clock only for
    /// an ID.
    pub(super) fn of(policy: RetryPolicy, now: impl FnOnce() -> SystemTime) -> Self {
        match policy.outcomes {
            _ if policy.read_only => Self::ReadOnly,
            Some(table) => Self::Recorded(table, OutcomeId::new(now())),
            None => Self::Plain,
        }
    }

    /// The ID that settles the attempt.
    pub(super) fn id(self) -> Option<OutcomeId> {
        match self {
            Self::Recorded(_, id) => Some(id),
            Self::Plain | Self::ReadOnly => None,
        }
    }
}
