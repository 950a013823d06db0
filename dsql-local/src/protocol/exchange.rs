//! The state that both directions of a session share: `server::request` adds pending replies,
//! `server::reply` completes them, and `conflict` waits for them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pending::PendingReplies;

/// The exchange of messages between a client and its engine.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) pending: PendingReplies,
    /// The transaction status in the engine's latest `ReadyForQuery`: `I`, `T` or `E`.
    pub(crate) status: u8,
}

impl Exchange {
    /// Returns whether no transaction is open and no reply pending.
    pub(crate) fn is_idle(&self) -> bool {
        self.status == b'I' && !self.pending.awaits_ready()
    }
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            pending: PendingReplies::default(),
            status: b'I',
        }
    }
}

/// An [`Exchange`] that both directions hold.
#[derive(Debug, Default)]
pub(crate) struct SharedExchange(Mutex<Exchange>);

impl SharedExchange {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
