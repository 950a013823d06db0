//! The queue of checkouts: waits for a connection to be returned or opened.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::Checkout;
use crate::backoff::Backoff;
use crate::connect::Progress;
use crate::connection::{Connection, Ping};
use crate::error::{ConnectError, Discard, Error};
use crate::pool::handover::{Handover, Slot};
use crate::pool::{Inner, PooledConnection};

/// A checkout in the queue. Dropping it leaves the queue.
struct Waiting<'a> {
    pool: &'a Arc<Inner>,
    ticket: u64,
    since: Instant,
    is_pinging: bool,
    handover: oneshot::Receiver<Handover>,
}

/// What a checkout in the queue awaits at the same time.
pub(super) enum Beside<'a, 'c> {
    Nothing,
    /// The reply to a ping.
    Ping(&'a mut Ping<'c>),
    /// That a connection that was set aside settles, up to this timeout.
    Settling(&'c Connection, Duration),
}

/// How a wait ended.
pub(super) enum Served {
    Connection(PooledConnection),
    /// What the checkout awaited beside the queue has ended: the connection may be used, or not.
    Beside(Result<(), Discard>),
}

impl Checkout<'_> {
    /// Waits in the queue for a connection, and opens one if there is a slot for it. While a ping
    /// is in flight, opens one even beyond the pool's size; while a connection settles, only if
    /// another one ends.
    pub(super) async fn wait(&mut self, beside: Beside<'_, '_>) -> Result<Served, Error> {
        let pool = self.pool;
        let started = self.started();
        pool.opener.check()?;
        pool.start_maintenance();
        let is_pinging = matches!(beside, Beside::Ping(_));
        let mut waiting = Waiting::enter(self, is_pinging)?;
        pool.hand_out_idle();
        let ticket = waiting.ticket;
        let mut slot = match beside {
            Beside::Nothing => Slot::take_wanted(pool),
            Beside::Ping(_) => Some(Slot::take_extra(pool)),
            Beside::Settling(..) => None,
        };
        let mut beside = pin!(beside.result());
        let mut openings = Vec::new();
        let deadline = started + self.timeout;
        let mut timer = pin!(sleep_until(
            deadline.min(started + pool.opener.open_timeout()).into()
        ));
        loop {
            if let Some(slot) = slot.take() {
                // The first opening starts at once. Later ones follow failed openings, so they are
                // delayed.
                let pause = match u32::try_from(openings.len()).unwrap_or(u32::MAX) {
                    0 => Duration::ZERO,
                    opened => REOPEN.delay(opened, rand::random()),
                };
                openings.push(pool.open(slot, Some(ticket), pause));
            }
            tokio::select! {
                biased;
                handover = &mut waiting.handover => match handover {
                    Ok(Handover::Connection(connection)) => {
                        pool.meter().queued(started.elapsed());
                        return Ok(Served::Connection(connection));
                    }
                    Ok(Handover::Slot(free)) => {
                        slot = Some(free);
                        waiting.enter_again()?;
                    }
                    Ok(Handover::Failed(error)) => return Err(tried(error, &openings).into()),
                    Err(_) => return Err(Error::PoolClosed),
                },
                result = &mut beside => {
                    if result.is_ok() {
                        pool.cancel_opening(ticket);
                    }
                    return Ok(Served::Beside(result));
                }
                () = &mut timer => {
                    let cause = pool.known_cause(started);
                    let cause = cause.map(|cause| tried(cause, &openings));
                    if Instant::now() >= deadline {
                        return Err(self.timed_out(cause, is_pinging));
                    }
                    // The time of one opening has passed. Return the cause if it is known, unless a
                    // connection in use may still be returned.
                    if let Some(cause) = cause && !is_pinging && pool.lock().in_use() == 0 {
                        return Err(cause.into());
                    }
                    timer.as_mut().reset(deadline.into());
                }
            }
        }
    }

    fn timed_out(&mut self, cause: Option<ConnectError>, is_pinging: bool) -> Error {
        let pool = self.pool;
        let cause = cause.or_else(|| {
            let slots = pool.lock();
            // If connections are in use, the caller waited for one of them, not for the opening.
            let waits_for_opening = is_pinging || slots.in_use() == 0;
            let opening = slots.openings.last().filter(|_| waits_for_opening);
            opening.map(|opening| pool.opener.unfinished(&opening.progress))
        });
        pool.meter().checkout_timed_out();
        Error::CheckoutTimeout {
            waited: Some(self.started().elapsed()),
            cause,
        }
    }
}

impl Beside<'_, '_> {
    async fn result(self) -> Result<(), Discard> {
        match self {
            Self::Nothing => pending().await,
            Self::Ping(ping) => ping.answered().await,
            Self::Settling(connection, timeout) => match connection.settle_within(timeout).await {
                true => Ok(()),
                false => Err(Discard::Unsettled),
            },
        }
    }
}

impl<'a> Waiting<'a> {
    fn enter(checkout: &mut Checkout<'a>, is_pinging: bool) -> Result<Self, Error> {
        let (pool, since) = (checkout.pool, checkout.started());
        let now = pool.opener.config().now();
        let mut slots = pool.lock();
        if pool.is_closed() {
            return Err(Error::PoolClosed);
        }
        slots.abort_overdue(now);
        let ticket = *checkout.ticket.get_or_insert_with(|| slots.number());
        let handover = slots.enter(ticket, since, is_pinging);
        drop(slots);
        Ok(Self {
            pool,
            ticket,
            since,
            is_pinging,
            handover,
        })
    }

    /// Enters the queue again, at the same position.
    fn enter_again(&mut self) -> Result<(), Error> {
        let mut slots = self.pool.lock();
        if self.pool.is_closed() {
            return Err(Error::PoolClosed);
        }
        self.handover = slots.enter(self.ticket, self.since, self.is_pinging);
        Ok(())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.lock().leave(self.ticket);
    }
}

/// Counts the attempts of all openings that a checkout started.
fn tried(error: ConnectError, openings: &[Progress]) -> ConnectError {
    error.tried(openings.iter().map(Progress::failures).sum())
}

/// How fast one checkout opens connections while they fail and others are in use.
const REOPEN: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(2),
};
