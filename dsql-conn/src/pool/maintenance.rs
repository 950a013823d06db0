//! Maintains the idle connections.
//!
//! One task closes connections that ended, expired or were idle for too long, opens successors and
//! fills up to `min_idle`. A frozen Lambda function does not run this task. Nothing depends on it,
//! because every checkout validates its connection.

use std::mem;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::handover::Slot;
use crate::connection::Connection;
use crate::error::Discard;

impl Inner {
    /// Starts the maintenance task unless it runs. It has ended if its runtime has.
    pub(super) fn start_maintenance(self: &Arc<Self>) {
        let mut task = self
            .maintainer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(|task| task.is_finished()) {
            let maintenance = run(
                Arc::downgrade(self),
                Arc::clone(&self.maintenance),
                self.opener.tasks().ends(),
                self.closed.clone(),
            );
            *task = Some(tokio::spawn(maintenance).abort_handle());
        }
    }

    fn maintain(self: &Arc<Self>) {
        {
            let slots = self.lock();
            self.meter().refreshed(slots.population());
        }
        let mut successors = 0;
        for (connection, verdict) in self.take_unfit() {
            match verdict {
                Some(reason) => {
                    successors += usize::from(reason == Discard::Expired);
                    self.discard(connection, reason);
                }
                // The connection was set aside and has settled.
                None => self.release(connection),
            }
        }
        self.lock().successors += successors;
        while let Some(slot) = self.wanted_slot() {
            self.open(slot, None, Duration::ZERO);
        }
    }

    /// Removes the connections to close, each with its reason, and the connections that were set
    /// aside and have settled, without a reason.
    fn take_unfit(&self) -> Vec<(Connection, Option<Discard>)> {
        let now = self.opener.now();
        let mut slots = self.lock();
        let mut unfit = Vec::new();

        let mut surplus = slots
            .idle
            .len()
            .saturating_sub(self.settings.min_idle_connections());
        // The least recently used come first.
        for connection in mem::take(&mut slots.idle) {
            let idle_timeout = self.settings.idle_timeout.filter(|_| surplus > 0);
            match connection.idle_verdict(now, idle_timeout) {
                Some(reason) => {
                    surplus = surplus.saturating_sub(1);
                    unfit.push((connection, Some(reason)));
                }
                None => slots.idle.push(connection),
            }
        }
        for unsettled in mem::take(&mut slots.unsettled) {
            match unsettled.connection.age_verdict(now) {
                Some(reason) => unfit.push((unsettled.connection, Some(reason))),
                None if unsettled.connection.watch().is_settled() => {
                    unfit.push((unsettled.connection, None));
                }
                None => slots.unsettled.push_back(unsettled),
            }
        }
        unfit
    }

    /// Takes a slot for a successor, or for another idle connection up to `min_idle`, if one is
    /// needed.
    fn wanted_slot(self: &Arc<Self>) -> Option<Slot> {
        {
            let mut slots = self.lock();
            if !slots.has_free_slot() {
                // Waiters took the slots of the expired connections: what they open are the
                // successors.
                slots.successors = 0;
                return None;
            }
            if self.is_closed() {
                return None;
            }
            let openings = slots.openings.iter();
            let unasked = openings.filter(|opening| opening.ticket.is_none()).count();
            let is_short = slots.idle.len() + unasked < self.settings.min_idle_connections();
            match slots.successors {
                0 if !is_short => return None,
                0 => {}
                _ => slots.successors -= 1,
            }
        }
        Slot::take_free(self)
    }
}

async fn run(
    pool: Weak<Inner>,
    asked: Arc<Notify>,
    mut connection_ends: watch::Receiver<usize>,
    closed: CancellationToken,
) {
    loop {
        match pool.upgrade() {
            Some(pool) => pool.maintain(),
            None => return,
        }
        tokio::select! {
            () = closed.cancelled() => return,
            () = asked.notified() => {}
            _ = connection_ends.changed() => {}
            () = sleep(INTERVAL) => {}
        }
    }
}

/// How often the task checks the pool when nothing wakes it.
const INTERVAL: Duration = Duration::from_secs(5);
