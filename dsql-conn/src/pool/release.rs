//! Takes connections back: hands them to waiting checkouts, keeps them idle, or closes them.

use std::sync::Arc;
use std::time::Instant;

use super::handover::Handover;
use super::slots::Unsettled;
use super::{Inner, PooledConnection};
use crate::connection::{Connection, Returned};
use crate::error::Discard;

impl Inner {
    /// Takes a connection back. `since` is when it was checked out, if it was. May run on any
    /// thread, and without a runtime.
    pub(super) fn give_back(self: &Arc<Self>, connection: Connection, since: Option<Instant>) {
        let now = connection.now();
        if let Some(since) = since {
            self.meter()
                .used(now.monotonic.saturating_duration_since(since));
        }
        let returned = connection.returned_at(now);
        let is_awaited = || self.lock().waiting() > 0;
        match returned {
            Returned::Reusable => self.release(connection),
            Returned::NearExpiry if is_awaited() => self.release(connection),
            Returned::NearExpiry => self.replace(connection),
            Returned::Discard(Discard::Expired) => self.replace(connection),
            Returned::Discard(reason) => self.discard(connection, reason),
        }
    }

    /// Closes an old connection, and lets the maintenance task open its successor.
    pub(super) fn replace(self: &Arc<Self>, connection: Connection) {
        self.discard(connection, Discard::Expired);
        self.lock().successors += 1;
        self.maintenance.notify_one();
    }

    /// Hands a connection to the checkout that has waited longest, or keeps it idle.
    pub(super) fn release(self: &Arc<Self>, mut connection: Connection) {
        loop {
            let (waiter, wants_opening) = {
                let mut slots = self.lock();
                if self.is_closed() {
                    drop(slots);
                    return self.discard(connection, Discard::PoolClosed);
                }
                // Serve a waiter before checking the size: it may be the one that opened an extra
                // connection during a ping.
                match slots.next_waiter() {
                    // It may have been opened by a waiter that still waits.
                    Some(waiter) => (waiter, slots.wants_opening()),
                    None if slots.is_over_capacity() => {
                        drop(slots);
                        return self.discard(connection, Discard::Surplus);
                    }
                    None => return slots.idle.push(connection),
                }
            };
            let pooled = PooledConnection::new(connection, Arc::clone(self));
            match waiter.handover.send(Handover::Connection(pooled)) {
                // The waiter has just left the queue.
                Err(Handover::Connection(pooled)) => connection = pooled.into_connection(),
                _ if wants_opening => return self.offer_slot(),
                _ => return,
            }
        }
    }

    /// Hands an idle connection to the checkout that has waited for one longest: the connection may
    /// have been returned before that checkout entered the queue.
    pub(super) fn hand_out_idle(self: &Arc<Self>) {
        // A statement of its own, so that the lock is released at its end.
        let matched = self.lock().match_idle();
        if let Some((connection, waiter)) = matched {
            let pooled = PooledConnection::new(connection, Arc::clone(self));
            if let Err(Handover::Connection(pooled)) =
                waiter.handover.send(Handover::Connection(pooled))
            {
                // The waiter has just left the queue.
                self.release(pooled.into_connection());
            }
        }
    }

    /// Sets a connection aside: checkouts skip it until it settles.
    pub(super) fn set_aside(self: &Arc<Self>, connection: Connection, was_awaited: bool) {
        let mut slots = self.lock();
        if !self.is_closed() {
            return slots.unsettled.push_back(Unsettled {
                connection,
                was_awaited,
            });
        }
        drop(slots);
        self.discard(connection, Discard::PoolClosed);
    }

    /// Closes a connection and passes its slot on.
    pub(super) fn discard(self: &Arc<Self>, connection: Connection, reason: Discard) {
        self.meter().closed(reason);
        self.lock().open.remove(&connection.id());
        drop(connection);
        self.free_slot();
    }
}
