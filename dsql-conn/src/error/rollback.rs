//! Why a transaction was rolled back.

use std::fmt;

use crate::sqlstate::ServerError;

/// Why a transaction was rolled back although its body returned `Ok`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RollbackCause {
    /// A statement of the body had failed. In this case the server answers `COMMIT` with
    /// `ROLLBACK`, which drivers report as a success.
    StatementFailed(ServerError),
    /// A statement of the body was still running.
    StatementPending,
    /// The connection was lost before `COMMIT` was sent.
    ConnectionLost,
    /// The connection was lost during `COMMIT`, and the outcome table shows that nothing was
    /// applied.
    CommitLost,
    /// The server answered `COMMIT` with `ROLLBACK` although no statement had failed.
    CommitRolledBack,
}

impl RollbackCause {
    pub(super) fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::StatementFailed(_) => Some("return the errors of statements from the body"),
            Self::StatementPending => Some("await every statement in the body"),
            Self::ConnectionLost | Self::CommitLost | Self::CommitRolledBack => None,
        }
    }

    /// Writes what happened, without the remedy.
    pub(super) fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatementFailed(error) => {
                write!(
                    f,
                    "a statement failed although the body returned Ok: {error}"
                )
            }
            Self::StatementPending => f.write_str("a statement of its body was still running"),
            Self::ConnectionLost => f.write_str("the connection was lost before COMMIT was sent"),
            Self::CommitLost => f.write_str(
                "the connection was lost during COMMIT; by the outcome table it was not applied",
            ),
            Self::CommitRolledBack => f.write_str("the server answered COMMIT with ROLLBACK"),
        }
    }
}

impl fmt::Display for RollbackCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what(f)?;
        match self.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}
