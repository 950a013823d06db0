//! Opens the pool's connections. Each opening has a task of its own, which always ends.

use std::sync::{Arc, Weak};
use std::thread::panicking;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::Instrument;

use super::Inner;
use super::handover::{Handover, Slot};
use super::slots::Opening;
use crate::connect::Progress;
use crate::connection::Connection;
use crate::error::ConnectError;

/// Ends an opening when its task ends, even if the task panics, is aborted, or its runtime ends.
struct Guard {
    pool: Weak<Inner>,
    number: u64,
    ended: bool,
}

impl Inner {
    /// Opens a connection in the background. `ticket` names the checkout that gets the error.
    pub(super) fn open(
        self: &Arc<Self>,
        slot: Slot,
        ticket: Option<u64>,
        pause: Duration,
    ) -> Progress {
        let progress = Progress::default();
        let number = {
            let mut slots = self.lock();
            slot.into_taken();
            let number = slots.number();
            slots.openings.push(Opening {
                number,
                ticket,
                deadline: self.opener.now().wall + pause + self.opener.open_timeout(),
                progress: progress.clone(),
                task: None,
            });
            number
        };
        let guard = Guard {
            pool: Arc::downgrade(self),
            number,
            ended: false,
        };
        let opener = Arc::clone(&self.opener);
        let told = progress.clone();
        let opening = async move {
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let opened = opener.open(&progress).await;
            guard.end(opened);
        };
        // The opening's span is a child of the checkout's span.
        let task = tokio::spawn(opening.in_current_span());
        let mut slots = self.lock();
        if self.is_closed() {
            task.abort();
        }
        let opening = slots.openings.iter_mut().find(|it| it.number == number);
        if let Some(opening) = opening {
            opening.task = Some(task.abort_handle());
        }
        told
    }

    /// Aborts the opening that a checkout started and no longer needs. It has not failed, so its
    /// slot is freed here, and its task finds nothing left to do.
    pub(super) fn cancel_opening(self: &Arc<Self>, ticket: u64) {
        let opening = self.lock().end_opening(|it| it.ticket == Some(ticket));
        if let Some(opening) = opening {
            if let Some(task) = opening.task {
                task.abort();
            }
            self.free_slot();
        }
    }

    /// Returns why no connection could be opened since a checkout started, if that is known.
    pub(super) fn known_cause(&self, since: Instant) -> Option<ConnectError> {
        let slots = self.lock();
        let in_progress = slots.openings.iter().rev();
        let last = slots.last_failure.as_ref();
        in_progress
            .filter_map(|opening| opening.progress.last_failure())
            .next()
            .or_else(|| {
                last.filter(|(at, _)| *at >= since)
                    .map(|(_, error)| error.clone())
            })
    }

    fn opened(self: &Arc<Self>, number: u64, connection: Connection) {
        let mut slots = self.lock();
        if slots.end_opening(|it| it.number == number).is_none() {
            return;
        }
        self.meter().opened.add();
        slots.open.insert(connection.id(), connection.aborter());
        drop(slots);
        self.release(connection);
    }

    fn opening_failed(self: &Arc<Self>, number: u64, error: &ConnectError) {
        let open_timeout = self.opener.open_timeout();
        let failed = {
            let mut slots = self.lock();
            let Some(Opening { ticket, .. }) = slots.end_opening(|it| it.number == number) else {
                return;
            };
            self.meter().failed.add();
            slots.last_failure = Some((Instant::now(), error.clone()));
            match slots.in_use() {
                0 => slots.take_failed(ticket, !error.reason().is_transient(), |since| {
                    since.elapsed() >= open_timeout
                }),
                // A connection in use will be returned, and the waiters get it.
                _ => Vec::new(),
            }
        };
        for waiter in failed {
            // The waiter may have left the queue meanwhile.
            let _ = waiter.handover.send(Handover::Failed(error.clone()));
        }
        self.free_slot();
    }
}

impl Guard {
    fn end(mut self, opened: Result<Connection, ConnectError>) {
        self.ended = true;
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        match opened {
            Ok(connection) => pool.opened(self.number, connection),
            Err(error) => pool.opening_failed(self.number, &error),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let Some(pool) = self.pool.upgrade() {
            let error = pool.opener.aborted(panicking());
            pool.opening_failed(self.number, &error);
        }
    }
}
