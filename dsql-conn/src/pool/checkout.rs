//! Checks connections out, in the order in which they were asked for, and takes them back.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep_until;

use super::slots::Handover;
use super::{Inner, PooledConnection};
use crate::backoff::Backoff;
use crate::config::FOREVER;
use crate::connection::{Connection, Ping, Returned, Validity};
use crate::error::{ConnectError, Discard, Error};

/// The right to open one connection. Dropping it passes it on.
pub(super) struct Slot(Option<Arc<Inner>>);

/// One checkout, from the call to its connection.
struct Checkout<'a> {
    pool: &'a Arc<Inner>,
    timeout: Duration,
    /// Read when the checkout first has to wait: a warm one reads no clock for its deadline.
    started: Option<Instant>,
    /// The place in the queue, once it has one.
    ticket: Option<u64>,
    /// A connection that was handed over and not validated yet.
    handed: Option<PooledConnection>,
}

/// A checkout in the queue. Dropping it leaves the queue.
struct Waiting<'a> {
    pool: &'a Arc<Inner>,
    ticket: u64,
    since: Instant,
    handover: oneshot::Receiver<Handover>,
}

/// How a wait ended.
enum Served {
    Connection(PooledConnection),
    /// The ping that was in flight meanwhile was answered, or not.
    Pinged(Result<(), Discard>),
}

impl Inner {
    pub(super) async fn checkout(
        self: &Arc<Self>,
        timeout: Duration,
    ) -> Result<PooledConnection, Error> {
        let checkout = Checkout {
            pool: self,
            timeout: timeout.min(FOREVER),
            started: None,
            ticket: None,
            handed: None,
        };
        checkout.run().await
    }

    /// Takes a connection back from its user. May run on any thread, and without a runtime.
    pub(super) fn give_back(self: &Arc<Self>, connection: Connection) {
        let returned = connection.returned();
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
            let waiter = {
                let mut slots = self.lock();
                if self.is_closed() {
                    drop(slots);
                    return self.discard(connection, Discard::PoolClosed);
                }
                // The waiter comes first: it may be the one that opened beside a ping.
                match slots.next_waiter() {
                    Some(waiter) => waiter,
                    None if slots.is_over_capacity() => {
                        drop(slots);
                        return self.discard(connection, Discard::Surplus);
                    }
                    None => return slots.idle.push(connection),
                }
            };
            let pooled = PooledConnection::new(connection, Arc::clone(self));
            match waiter.handover.send(Handover::Connection(pooled)) {
                // The waiter has just given up.
                Err(Handover::Connection(pooled)) => connection = pooled.into_connection(),
                _ => return,
            }
        }
    }

    /// Hands an idle connection to the checkout that has waited longest: it may have come back
    /// before that checkout was in the queue.
    fn hand_out_idle(self: &Arc<Self>) {
        let idle = self.lock().idle.pop();
        if let Some(connection) = idle {
            self.release(connection);
        }
    }

    /// Closes a connection and passes its slot on.
    pub(super) fn discard(self: &Arc<Self>, connection: Connection, reason: Discard) {
        tracing::debug!(reason = reason.code(), "connection discarded");
        self.counters.discarded(reason);
        self.lock().open.remove(&connection.id());
        drop(connection);
        self.free_slot();
    }

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

impl Slot {
    /// Takes a free slot, if there is one that a waiter wants.
    fn take_wanted(pool: &Arc<Inner>) -> Option<Self> {
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
    fn take_extra(pool: &Arc<Inner>) -> Self {
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

impl<'a> Checkout<'a> {
    async fn run(mut self) -> Result<PooledConnection, Error> {
        loop {
            let ready = match self.handed.take() {
                Some(connection) => Some(connection),
                None => self.idle()?,
            };
            let connection = match ready {
                Some(connection) => connection,
                None => self.not_idle().await?,
            };
            if let Some(connection) = self.validate(connection).await? {
                return Ok(connection);
            }
        }
    }

    /// Returns the connection if it may be used.
    async fn validate(
        &mut self,
        connection: PooledConnection,
    ) -> Result<Option<PooledConnection>, Error> {
        match connection.check().await {
            Ok(Validity::Valid) => Ok(Some(connection)),
            Ok(Validity::NeedsPing) => self.ping(connection).await,
            Err(Discard::Unsettled) => {
                connection.set_aside(false);
                Ok(None)
            }
            Err(reason) => {
                connection.discard(reason);
                Ok(None)
            }
        }
    }

    fn idle(&self) -> Result<Option<PooledConnection>, Error> {
        let mut slots = self.pool.lock();
        if self.pool.is_closed() {
            return Err(Error::PoolClosed);
        }
        let connection = slots.pop_idle();
        if slots.idle.len() < self.pool.settings.min_idle_connections() {
            self.pool.maintenance.notify_one();
        }
        Ok(connection.map(|connection| self.pooled(connection)))
    }

    async fn not_idle(&mut self) -> Result<PooledConnection, Error> {
        if let Some(connection) = self.settled().await? {
            return Ok(connection);
        }
        loop {
            if let Served::Connection(connection) = self.wait(None).await? {
                return Ok(connection);
            }
        }
    }

    /// Waits for a connection that was set aside, unless another one may be opened and the wait was
    /// in vain before.
    async fn settled(&mut self) -> Result<Option<PooledConnection>, Error> {
        let Some(connection) = self.pool.lock().pop_unsettled() else {
            return Ok(None);
        };
        let connection = self.pooled(connection);
        let timeout = connection.settle_timeout().min(self.left());
        let settled = tokio::select! {
            biased;
            () = self.pool.closed.cancelled() => return Err(Error::PoolClosed),
            settled = connection.settle_within(timeout) => settled,
        };
        if settled {
            return Ok(Some(connection));
        }
        // In a statement of its own, which unlocks.
        let has_free_slot = self.pool.lock().has_free_slot();
        match has_free_slot {
            true => connection.set_aside(true),
            false => connection.discard(Discard::Unsettled),
        }
        Ok(None)
    }

    /// Asks the server whether it is still there. If the answer takes longer than usual, another
    /// connection is opened beside this one, and the first that is ready serves.
    async fn ping(&mut self, suspect: PooledConnection) -> Result<Option<PooledConnection>, Error> {
        let hedge_delay = suspect.hedge_delay().min(self.left());
        let pinged = async {
            let mut ping = suspect.send_ping().await;
            let answer = match hedge_delay < ping.left() {
                true => ping.answered_within(hedge_delay).await,
                false => Some(ping.answered().await),
            };
            (ping, answer)
        };
        let (mut ping, answer) = tokio::select! {
            biased;
            () = self.pool.closed.cancelled() => return Err(Error::PoolClosed),
            pinged = pinged => pinged,
        };
        let answer = match answer {
            Some(answer) => answer,
            None => match self.wait(Some(&mut ping)).await? {
                Served::Pinged(answer) => answer,
                Served::Connection(connection) => {
                    self.handed = Some(connection);
                    ping.was_in_vain()
                }
            },
        };
        drop(ping);
        match answer {
            Ok(()) => Ok(Some(suspect)),
            Err(reason) => {
                suspect.discard(reason);
                Ok(None)
            }
        }
    }

    /// Waits in the queue for a connection, and opens one if there is a slot for it. Beside a ping
    /// in flight it opens one beyond the pool's size.
    async fn wait(&mut self, mut ping: Option<&mut Ping<'_>>) -> Result<Served, Error> {
        let pool = self.pool;
        let started = self.started();
        pool.opener.check()?;
        pool.start_maintenance();
        let mut waiting = Waiting::enter(self)?;
        if ping.is_none() {
            pool.hand_out_idle();
        }
        let ticket = waiting.ticket;
        let mut slot = match ping {
            Some(_) => Some(Slot::take_extra(pool)),
            None => Slot::take_wanted(pool),
        };
        let mut opened = 0;
        let deadline = started + self.timeout;
        let mut timer = pin!(sleep_until(
            deadline.min(started + pool.opener.open_timeout()).into()
        ));
        loop {
            if let Some(slot) = slot.take() {
                // The first at once; the next ones because openings fail.
                let pause = match opened {
                    0 => Duration::ZERO,
                    _ => REOPEN.delay(opened, rand::random()),
                };
                opened += 1;
                pool.open(slot, Some(ticket), pause);
            }
            let answered = async {
                match &mut ping {
                    Some(ping) => ping.answered().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                handover = &mut waiting.handover => match handover {
                    Ok(Handover::Connection(connection)) => {
                        pool.counters.waited(started.elapsed());
                        return Ok(Served::Connection(connection));
                    }
                    Ok(Handover::Slot(free)) => {
                        slot = Some(free);
                        waiting.enter_again()?;
                    }
                    Ok(Handover::Failed(error)) => return Err(error.into()),
                    Err(_) => return Err(Error::PoolClosed),
                },
                answer = answered => {
                    if answer.is_ok() {
                        pool.cancel_opening(ticket);
                    }
                    return Ok(Served::Pinged(answer));
                }
                () = &mut timer => {
                    let cause = pool.known_cause(started);
                    if Instant::now() >= deadline {
                        return Err(self.timed_out(cause, ping.is_some()));
                    }
                    // One opening's time has passed: a cause that is known by now is told, unless
                    // a connection in use may still come back.
                    if let Some(cause) = cause && ping.is_none() && pool.lock().in_use() == 0 {
                        return Err(cause.into());
                    }
                    timer.as_mut().reset(deadline.into());
                }
            }
        }
    }

    fn timed_out(&mut self, cause: Option<ConnectError>, pinging: bool) -> Error {
        let pool = self.pool;
        let cause = cause.or_else(|| {
            let slots = pool.lock();
            // With connections in use, those are what the caller waited for.
            let waits_for_opening = pinging || slots.in_use() == 0;
            let opening = slots.openings.last().filter(|_| waits_for_opening);
            opening.map(|opening| pool.opener.unfinished(&opening.progress))
        });
        pool.counters.checkout_timed_out();
        Error::CheckoutTimeout {
            waited: Some(self.started().elapsed()),
            cause,
        }
    }

    fn pooled(&self, connection: Connection) -> PooledConnection {
        PooledConnection::new(connection, Arc::clone(self.pool))
    }

    fn started(&mut self) -> Instant {
        *self.started.get_or_insert_with(Instant::now)
    }

    fn left(&mut self) -> Duration {
        let deadline = self.started() + self.timeout;
        deadline.saturating_duration_since(Instant::now())
    }
}

impl<'a> Waiting<'a> {
    fn enter(checkout: &mut Checkout<'a>) -> Result<Self, Error> {
        let (pool, since) = (checkout.pool, checkout.started());
        let now = pool.opener.now().wall;
        let mut slots = pool.lock();
        if pool.is_closed() {
            return Err(Error::PoolClosed);
        }
        slots.abort_overdue(now);
        let ticket = *checkout.ticket.get_or_insert_with(|| slots.number());
        let handover = slots.enter(ticket, since);
        drop(slots);
        Ok(Self {
            pool,
            ticket,
            since,
            handover,
        })
    }

    /// Enters again, in the same place.
    fn enter_again(&mut self) -> Result<(), Error> {
        let mut slots = self.pool.lock();
        if self.pool.is_closed() {
            return Err(Error::PoolClosed);
        }
        self.handover = slots.enter(self.ticket, self.since);
        Ok(())
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.lock().leave(self.ticket);
    }
}

/// How fast one checkout opens connections while they fail and others are in use.
const REOPEN: Backoff = Backoff {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(2),
};
