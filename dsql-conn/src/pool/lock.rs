//! Locks the state of a pool, and updates the gauges when it is unlocked.

use std::ops::{Deref, DerefMut};
use std::sync::{MutexGuard, PoisonError};

use super::{Inner, Slots};
use crate::telemetry::Meter;

/// The locked state. Unlocking updates the gauges, if the numbers have changed. This covers all
/// changes, and happens under the lock, so that concurrent updates cannot overtake each other.
pub(super) struct Locked<'a> {
    slots: MutexGuard<'a, Slots>,
    meter: &'a Meter,
}

impl Inner {
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            slots: self.slots.lock().unwrap_or_else(PoisonError::into_inner),
            meter: self.opener.meter(),
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Slots;

    fn deref(&self) -> &Slots {
        &self.slots
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if cfg!(feature = "metrics")
            && let Some(population) = self.slots.changed()
        {
            self.meter.populated(population);
        }
    }
}
