//! The right to open a connection. A slot that becomes free goes to the checkout that has waited
//! longest.

use std::sync::Arc;

use super::Inner;
use super::slots::Handover;

/// The right to open one connection. Dropping it passes it on.
pub(super) struct Slot(Option<Arc<Inner>>);

impl Slot {
    /// Takes a free slot, if there is one that a waiter wants.
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

    /// Takes a slot beyond the pool's size, beside a connection that may be dead.
    pub(super) fn take_extra(pool: &Arc<Inner>) -> Self {
        pool.lock().take();
        Self(Some(Arc::clone(pool)))
    }

    /// Something else accounts for the slot from now on.
    pub(super) fn into_taken(mut self) {
        self.0 = None;
    }

    /// Frees the slot and tells nobody.
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
    /// Passes the slot of something that has ended on.
    pub(super) fn free_slot(self: &Arc<Self>) {
        drop(Slot(Some(Arc::clone(self))));
    }

    /// Passes a slot on: to the checkout that has waited longest, or to nobody.
    fn pass_on(self: &Arc<Self>) {
        self.lock().free();
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
                // The waiter has just given up.
                Err(Handover::Slot(slot)) => slot.free(),
                _ => return,
            }
        }
    }
}
