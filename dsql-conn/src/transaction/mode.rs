//! How an attempt prepares for a lost `COMMIT`.

use std::time::SystemTime;

use crate::outcomes::{OutcomeId, Outcomes};
use crate::retry::RetryPolicy;

/// How an attempt prepares for losing the reply to its `COMMIT`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mode {
    /// No preparation: the outcome is then unknown.
    Plain,
    /// The transaction cannot write, so it may run again.
    ReadOnly,
    /// The transaction inserts a row with this ID into the outcome table.
    Recorded(Outcomes, OutcomeId),
}

impl Mode {
    /// Chooses the mode of the next attempt. Each attempt has an ID of its own. Reads the clock
    /// only for an ID.
    pub(super) fn of(policy: RetryPolicy, now: impl FnOnce() -> SystemTime) -> Self {
        match policy.outcomes {
            _ if policy.read_only => Self::ReadOnly,
            Some(table) => Self::Recorded(table, OutcomeId::new(now())),
            None => Self::Plain,
        }
    }

    /// Returns the ID that settles the attempt.
    pub(super) fn id(self) -> Option<OutcomeId> {
        match self {
            Self::Recorded(_, id) => Some(id),
            Self::Plain | Self::ReadOnly => None,
        }
    }
}
