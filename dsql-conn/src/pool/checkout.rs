//! Checks a connection out: takes an idle one, or waits in the queue, and validates it.

mod wait;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument, Span};

use self::wait::{Beside, Served};
use super::{Inner, PooledConnection};
use crate::config::FOREVER;
use crate::connection::{Connection, Validity};
use crate::error::{Discard, Error};
use crate::telemetry::{Metric, span};

/// One checkout, from the call to its connection.
struct Checkout<'a> {
    pool: &'a Arc<Inner>,
    timeout: Duration,
    /// When the checkout began. Set when it first has to wait, so that a warm checkout reads no
    /// clock for its deadline.
    started: Option<Instant>,
    /// The position in the queue, once the checkout has one.
    ticket: Option<u64>,
    /// Covers the wait, once the checkout has to wait.
    span: Option<Span>,
    /// A connection that was handed over and not validated yet.
    handed: Option<PooledConnection>,
}

impl Inner {
    pub(super) async fn checkout(
        self: &Arc<Self>,
        timeout: Duration,
    ) -> Result<PooledConnection, Error> {
        let mut checkout = Checkout {
            pool: self,
            timeout: timeout.min(FOREVER),
            started: None,
            ticket: None,
            span: None,
            handed: None,
        };
        let result = checkout.run().await;
        checkout.ended(&result);
        result
    }
}

impl<'a> Checkout<'a> {
    async fn run(&mut self) -> Result<PooledConnection, Error> {
        loop {
            let ready = match self.handed.take() {
                Some(connection) => Some(connection),
                None => self.idle()?,
            };
            let connection = match ready {
                Some(connection) => connection,
                None => {
                    let span = self.span();
                    self.not_idle().instrument(span).await?
                }
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
            Ok(Validity::Valid(now)) => Ok(Some(connection.checked_out(now))),
            Ok(Validity::NeedsPing) => {
                let span = self.span();
                self.ping(connection).instrument(span).await
            }
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
            if let Served::Connection(connection) = self.wait(Beside::Nothing).await? {
                return Ok(connection);
            }
        }
    }

    /// Waits in the queue until a connection that was set aside settles, or another one is handed
    /// over. Does not wait if a checkout already did and another connection may be opened.
    async fn settled(&mut self) -> Result<Option<PooledConnection>, Error> {
        let Some(connection) = self.pool.lock().pop_unsettled() else {
            return Ok(None);
        };
        let connection = self.pooled(connection);
        let settling = Beside::Settling(&connection, connection.settle_timeout());
        match self.wait(settling).await? {
            Served::Beside(Ok(())) => return Ok(Some(connection)),
            Served::Connection(other) => {
                connection.set_aside(false);
                return Ok(Some(other));
            }
            Served::Beside(Err(_)) => {}
        }
        // A statement of its own, so that the lock is released at its end.
        let has_free_slot = self.pool.lock().has_free_slot();
        match has_free_slot {
            true => connection.set_aside(true),
            false => connection.discard(Discard::Unsettled),
        }
        Ok(None)
    }

    /// Pings the server. If the reply takes longer than usual, opens another connection, and
    /// returns the one that is ready first.
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
            None => match self.wait(Beside::Ping(&mut ping)).await? {
                Served::Beside(answer) => answer,
                Served::Connection(other) => {
                    let answer = ping.overtaken_by(&other);
                    self.handed = Some(other);
                    answer
                }
            },
        };
        drop(ping);
        match answer {
            Ok(()) => Ok(Some(suspect.checked_out(Instant::now()))),
            Err(Discard::Unsettled) => {
                // Both connections are kept, so that no third one is needed.
                if let Some(ticket) = self.ticket {
                    self.pool.cancel_opening(ticket);
                }
                suspect.set_aside(true);
                Ok(None)
            }
            Err(reason) => {
                suspect.discard(reason);
                Ok(None)
            }
        }
    }

    fn ended(&self, result: &Result<PooledConnection, Error>) {
        if result.is_ok() {
            let wait = self.started.map_or(Duration::ZERO, |at| at.elapsed());
            self.pool.meter().record(Metric::WaitTime, wait);
        }
        if let Some(span) = &self.span {
            span::checked_out(span, result);
        }
    }

    fn span(&mut self) -> Span {
        let pool = self.pool;
        let span = || span::checkout(pool.opener.home_server(), pool.meter().pool());
        self.span.get_or_insert_with(span).clone()
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
