//! Decides whether a connection may be used again.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::time::{timeout, timeout_at};

use super::{Connection, Session};
use crate::clock::Moment;
use crate::error::Discard;
use crate::wire::Status;

/// The work that is left before a connection may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Validity {
    /// Since this moment, by the monotonic clock.
    Valid(Instant),
    /// The server must answer a ping first.
    NeedsPing,
}

/// Failed pings and statements, which the connections of a pool share.
///
/// After a freeze or an outage every connection needs a ping, and most of them are dead. One
/// unanswered ping counts for every connection whose server last replied before it.
#[derive(Debug, Default)]
pub(crate) struct Siblings(Mutex<Seen>);

/// By the monotonic clock: a wall clock that is set back would make newer connections suspect.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    /// When a statement was last found without a reply.
    doubted: Option<Instant>,
    /// When a ping was last found without a reply.
    lost: Option<Instant>,
}

impl Siblings {
    pub(crate) fn doubt(&self) {
        self.update(|seen| seen.doubted = Some(Instant::now()));
    }

    pub(crate) fn lost(&self) {
        self.update(|seen| seen.lost = Some(Instant::now()));
    }

    fn update(&self, update: impl FnOnce(&mut Seen)) {
        update(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn seen(&self) -> Seen {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    /// Makes sure that the connection may be used: without a round trip if it was used lately and
    /// left clean.
    pub(crate) async fn validate(&self) -> Result<(), Discard> {
        let mut validity = self.check().await;
        if validity == Err(Discard::Unsettled) && self.settle().await {
            validity = self.check().await;
        }
        match validity? {
            Validity::Valid(_) => Ok(()),
            Validity::NeedsPing => self.ping().await,
        }
    }

    /// Checks what this side knows. Waits for the connection task, not for the server.
    pub(crate) async fn check(&self) -> Result<Validity, Discard> {
        let now = self.now();
        let validity = self.check_at(now).await?;
        self.session.proven.store(true, Ordering::Relaxed);
        self.opener().proven();
        Ok(validity)
    }

    async fn check_at(&self, now: Moment) -> Result<Validity, Discard> {
        if self.is_closed() {
            return Err(Discard::Closed);
        }
        let health = *self.health();
        if health.is_expired(now) {
            return Err(Discard::Expired);
        }
        let Session {
            opener,
            place,
            return_unit,
            touched,
            ..
        } = &*self.session;
        opener.look_after_home(now);
        if opener.is_over(*place, now, *return_unit) {
            return Err(Discard::AwayFromHome);
        }
        if touched.load(Ordering::Relaxed) {
            self.check_clean().await?;
        }
        let seen = opener.siblings(*place).seen();
        let was_heard_before =
            |then: Option<Instant>| then.is_some_and(|then| health.was_heard_before(then));
        let ping_after = opener.checks.ping_after;
        if !health.needs_ping(now, ping_after) && !was_heard_before(seen.doubted) {
            return Ok(Validity::Valid(now.monotonic));
        }
        match was_heard_before(seen.lost) {
            true => Err(Discard::Suspect),
            false => Ok(Validity::NeedsPing),
        }
    }

    /// Makes sure that a transaction may begin: no reply is pending, which would be taken for the
    /// reply to `BEGIN`, and no transaction is open, of which a retry would lose the first part.
    /// Waits for pending replies until the deadline, unless their rows have no reader.
    pub(crate) async fn check_before_begin(
        &self,
        deadline: tokio::time::Instant,
    ) -> Result<(), Discard> {
        let watch = self.watch();
        if !watch.is_at_rest()
            && !self.settle().await
            && (watch.has_unread_rows() || timeout_at(deadline, watch.settled()).await.is_err())
        {
            return Err(Discard::Unsettled);
        }
        match watch.status() {
            Status::Idle => Ok(()),
            // The transaction's first statement reports it.
            _ if watch.is_closed() => Ok(()),
            _ => Err(Discard::InTransaction),
        }
    }

    /// Checks that the last user left the connection clean.
    async fn check_clean(&self) -> Result<(), Discard> {
        let watch = self.watch();
        if !self.is_at_rest()
            && (timeout(TASK_TIMEOUT, watch.fence()).await.is_err() || !watch.is_settled())
        {
            if !watch.has_unread_rows() {
                // Either the caller dropped a long statement, or the server is unresponsive.
                self.opener().siblings(self.session.place).doubt();
            }
            return Err(Discard::Unsettled);
        }
        if self.is_closed() {
            return Err(Discard::Closed);
        }
        if watch.status() != Status::Idle {
            return Err(Discard::InTransaction);
        }
        self.session.touched.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Returns whether a run of the connection task would find nothing new: nothing was queued
    /// since the last one, and nothing has arrived.
    fn is_at_rest(&self) -> bool {
        self.watch().is_at_rest() && self.session.peek.is_silent()
    }

    /// Records that the connection is returned at this moment, and decides what to do with it.
    pub(crate) fn returned_at(&self, now: Moment) -> Returned {
        let mut health = self.health();
        if self.session.touched.load(Ordering::Relaxed) {
            health.used(now, self.session.opener.checks.ping_after);
        }
        let is_near_expiry = health.is_near_expiry(now);
        let is_expired = is_near_expiry && health.is_expired(now);
        drop(health);
        match self.is_closed() {
            true => Returned::Discard(Discard::Closed),
            false if is_expired => Returned::Discard(Discard::Expired),
            false if is_near_expiry => Returned::NearExpiry,
            false => Returned::Reusable,
        }
    }

    /// Returns whether a returned connection must be replaced, now or soon.
    pub(crate) fn is_worn(&self) -> bool {
        self.returned_at(self.now()) != Returned::Reusable
    }

    /// Returns why an idle connection must be closed, if it must.
    pub(crate) fn idle_verdict(
        &self,
        now: Moment,
        idle_timeout: Option<Duration>,
    ) -> Option<Discard> {
        if let Some(reason) = self.age_verdict(now) {
            return Some(reason);
        }
        let health = *self.health();
        if health.is_near_expiry(now) {
            return Some(Discard::Expired);
        }
        let idle = health.idle_for(now).zip(idle_timeout);
        idle.is_some_and(|(idle, timeout)| idle >= timeout)
            .then_some(Discard::Idle)
    }

    /// Returns why a connection must be closed although it may be in use, if it must.
    pub(crate) fn age_verdict(&self, now: Moment) -> Option<Discard> {
        if self.is_closed() {
            return Some(Discard::Closed);
        }
        self.health().is_expired(now).then_some(Discard::Expired)
    }

    /// Waits until nothing is queued, in flight or unread, up to the settle timeout. Returns
    /// whether that is so.
    pub(crate) async fn settle(&self) -> bool {
        self.settle_within(self.settle_timeout()).await
    }

    /// Waits, like [`settle`](Self::settle), for a statement of this crate. It needs no work from
    /// the server, so the timeout only has to cover the network.
    pub(crate) async fn settle_own(&self) -> bool {
        let patience = self.health().patience(LEAST_PATIENCE);
        let began = Instant::now();
        let settled = self
            .settle_within(self.settle_timeout().max(patience))
            .await;
        if settled && !self.is_closed() {
            self.health().measured(began.elapsed());
        }
        settled
    }

    pub(crate) async fn settle_within(&self, patience: Duration) -> bool {
        let watch = self.watch();
        if timeout(TASK_TIMEOUT, watch.fence()).await.is_err() {
            return false;
        }
        watch.is_settled()
            || self
                .replied_within(patience, watch.settled())
                .await
                .is_some()
    }

    /// Lets the connection task run once, and returns whether it stops at unread rows of a query.
    pub(super) async fn has_unread_rows(&self) -> bool {
        // A task that does not run stops at nothing.
        timeout(TASK_TIMEOUT, self.watch().fence()).await.is_ok() && self.watch().has_unread_rows()
    }

    pub(crate) fn settle_timeout(&self) -> Duration {
        let configured = self.opener().checks.settle_timeout;
        configured.unwrap_or_else(|| self.health().patience(LEAST_PATIENCE))
    }

    /// Awaits a reply that the connection task has to read. If the deadline passes while the task
    /// could not run, because its thread was blocked, the task runs once more before the deadline
    /// counts.
    pub(crate) async fn replied_within<F: Future>(
        &self,
        patience: Duration,
        reply: F,
    ) -> Option<F::Output> {
        let mut reply = std::pin::pin!(reply);
        if let Ok(reply) = timeout(patience, reply.as_mut()).await {
            return Some(reply);
        }
        timeout(TASK_TIMEOUT, self.watch().fence()).await.ok()?;
        timeout(Duration::ZERO, reply).await.ok()
    }
}

/// What to do with a returned connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Returned {
    Reusable,
    /// It may be used once more, but a successor should be opened.
    NearExpiry,
    Discard(Discard),
}

/// How long the connection task may take to run once while its thread is blocked. Its runtime may
/// not run any more.
pub(super) const TASK_TIMEOUT: Duration = Duration::from_secs(3);

/// Beyond that, reconnecting is faster than waiting, unless round trips are slow.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);
