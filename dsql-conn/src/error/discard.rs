//! Why a connection was not used again.

use std::fmt;

/// Why a connection was closed instead of being checked out, or may not begin a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Discard {
    /// The session had ended.
    Closed,
    /// It was past its maximum lifetime.
    Expired,
    /// A statement was still running on it, or its rows were not read. The server cannot cancel a
    /// statement.
    Unsettled,
    /// A transaction was left open on it.
    InTransaction,
    /// The server did not answer a ping.
    Unresponsive,
    /// Another connection that was idle for as long had died.
    Suspect,
    /// It was idle for longer than [`idle_timeout`](crate::Builder::idle_timeout).
    Idle,
    /// It was opened beside a connection that answered after all.
    Surplus,
    /// It was a connection to the peer Region, and the home Region serves again.
    AwayFromHome,
    /// Its pool was closed.
    PoolClosed,
}

impl Discard {
    pub(crate) const ALL: [Self; 10] = [
        Self::Closed,
        Self::Expired,
        Self::Unsettled,
        Self::InTransaction,
        Self::Unresponsive,
        Self::Suspect,
        Self::Idle,
        Self::Surplus,
        Self::AwayFromHome,
        Self::PoolClosed,
    ];

    /// Returns a stable name for logs, metrics and programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Unsettled => "unsettled",
            Self::InTransaction => "in_transaction",
            Self::Unresponsive => "unresponsive",
            Self::Suspect => "suspect",
            Self::Idle => "idle",
            Self::Surplus => "surplus",
            Self::AwayFromHome => "away_from_home",
            Self::PoolClosed => "pool_closed",
        }
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "its session had ended",
            Self::Expired => "it was past its maximum lifetime",
            Self::Unsettled => "a statement was still running on it, or its rows were not read",
            Self::InTransaction => "a transaction was left open on it",
            Self::Unresponsive => "the server did not answer a ping",
            Self::Suspect => "another connection that was idle for as long had died",
            Self::Idle => "it was idle for too long",
            Self::Surplus => "the pool had enough connections",
            Self::AwayFromHome => "it led to the peer Region, and the home Region serves again",
            Self::PoolClosed => "its pool was closed",
        })
    }
}
