//! What a waiter is handed: a connection, or the right to open one.

use std::sync::Arc;

use super::{Inner, PooledConnection};
use crate::error::ConnectError;

/// What the pool hands to a waiter.
pub(super) enum Handover {
    Connection(PooledConnection),
    /// The right to open a connection.
    Slot(Slot),
    Failed(ConnectError),
}

/// The right to open one connection. Dropping it passes it to the next waiter.
pub(super) struct Slot(Option<Arc<Inner>>);

impl Slot {
    /// Takes a free slot, if there is one and a waiter needs it.
    pub(super) fn take_wanted(pool: &Arc<Inner>) -> Option<Self> {
        let mut slots = pool.lock();
        slots.wants_opening().then(|| {
            slots.take();
            Self(Some(Arc::clone(pool)))
        })
    }

    /// Takes a slot for a connection that is opened without a waiter.
    pub(super) fn take_free(pool: &Arc<Inner>) -> Option<Self> {
        let mut slots = pool.lock();
        slots.has_free_slot().then(|| {
            slots.take();
            Self(Some(Arc::clone(pool)))
        })
    }

    /// Takes a slot beyond the pool's size, while another connection may be dead.
    pub(super) fn take_extra(pool: &Arc<Inner>) -> Self {
        pool.lock().take();
        Self(Some(Arc::clone(pool)))
    }

    /// Keeps the slot taken, without the right to open: the opening accounts for it now.
    pub(super) fn into_taken(mut self) {
        self.0 = None;
    }

    /// Frees the slot without passing it to a waiter.
    fn free(mut self) {
        if let Some(pool) = self.0.take() {
            pool.lock().free();
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.pass_on();
        }
    }
}

impl Inner {
    /// Frees the slot of a connection or an opening that ended, and passes it on.
    pub(super) fn free_slot(self: &Arc<Self>) {
        drop(Slot(Some(Arc::clone(self))));
    }

    /// Frees a slot, and offers it to the waiters.
    fn pass_on(self: &Arc<Self>) {
        self.lock().free();
        self.offer_slot();
    }

    /// Hands a free slot to the checkout that has waited longest, if more checkouts wait than
    /// connections are opened.
    pub(super) fn offer_slot(self: &Arc<Self>) {
        loop {
            let waiter = {
                let mut slots = self.lock();
                if self.is_closed() || !slots.wants_opening() {
                    return;
                }
                let Some(waiter) = slots.next_waiter() else {
                    return;
                };
                slots.take();
                waiter
            };
            let slot = Slot(Some(Arc::clone(self)));
            match waiter.handover.send(Handover::Slot(slot)) {
                // The waiter has just left the queue.
                Err(Handover::Slot(slot)) => slot.free(),
                _ => return,
            }
        }
    }
}
