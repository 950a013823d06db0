//! The callers that wait for a change of the session state.

use std::mem;
use std::task::Waker;

/// Wakers of the callers. Kept with the state under its lock, so that no wake-up is lost and a
/// message without a waiter costs nothing.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    // Nearly always the only one, and needs no allocation.
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Waiters {
    /// Adds a caller, unless it waits already.
    pub(super) fn add(&mut self, waker: &Waker) {
        let mut known = self.first.iter().chain(&self.others);
        if known.any(|known| known.will_wake(waker)) {
            return;
        }
        match self.first {
            Some(_) => self.others.push(waker.clone()),
            None => self.first = Some(waker.clone()),
        }
    }

    /// Takes all callers. They check the state when they run, and wait again if need be.
    pub(super) fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// Wakes the callers. Call this without the lock of the state.
    pub(super) fn wake(self) {
        for waker in self.first.into_iter().chain(self.others) {
            waker.wake();
        }
    }
}
