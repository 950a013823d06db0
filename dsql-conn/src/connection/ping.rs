//! Pings the server.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::Connection;
use super::validate::TASK_TIMEOUT;
use crate::error::Discard;

/// A ping in flight.
pub(crate) struct Ping<'a> {
    connection: &'a Connection,
    answer: BoxFuture<'a, bool>,
    sent: Instant,
}

impl Connection {
    /// Sends a ping and waits for its reply.
    pub(crate) async fn ping(&self) -> Result<(), Discard> {
        self.send_ping().await.answered().await
    }

    /// Queues a ping and waits until it was written: its timeout starts then.
    pub(crate) async fn send_ping(&self) -> Ping<'_> {
        // Set until the reply arrives, so that a checkout that is cancelled meanwhile does not
        // count as a reply.
        self.session.touched.store(true, Ordering::Relaxed);
        let mut answer: BoxFuture<'_, bool> =
            Box::pin(async { self.session.client.simple_query("").await.is_ok() });
        // The first poll queues it.
        if let Some(answered) = answer.as_mut().now_or_never() {
            answer = future::ready(answered).boxed();
        }
        let written = self.watch().fence();
        let _ = tokio::time::timeout(TASK_TIMEOUT, written).await;
        Ping {
            connection: self,
            answer,
            sent: Instant::now(),
        }
    }

    /// Returns how long the reply to a ping may take before another connection is opened.
    pub(crate) fn hedge_delay(&self) -> Duration {
        let configured = self.opener().checks.hedge_delay;
        configured.unwrap_or_else(|| self.health().patience(LEAST_HEDGE_DELAY))
    }
}

impl Ping<'_> {
    /// Waits for the answer until the ping's timeout.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn answered(&mut self) -> Result<(), Discard> {
        match self.answered_within(self.left()).await {
            Some(answer) => answer,
            None => self.was_in_vain(),
        }
    }

    /// Returns the time left until the ping's timeout.
    pub(crate) fn left(&self) -> Duration {
        let timeout = self.connection.opener().checks.ping_timeout;
        timeout.saturating_sub(self.sent.elapsed())
    }

    /// Returns what it means that another connection was ready before the reply came. If that one
    /// was opened after the ping was sent, the network works, and this connection is dead: the
    /// other connections learn of it. Otherwise the reply is late.
    pub(crate) fn overtaken_by(&self, other: &Connection) -> Result<(), Discard> {
        match other.health().was_opened_after(self.sent) {
            true => self.was_in_vain(),
            false => Err(Discard::Unsettled),
        }
    }

    /// Records for the other connections that no reply came in time, and returns the reason.
    fn was_in_vain(&self) -> Result<(), Discard> {
        self.connection
            .opener()
            .siblings(self.connection.session.place)
            .lost();
        Err(Discard::Unresponsive)
    }

    /// Waits for the answer. `None` if none came in time; then it may be waited for again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn answered_within(
        &mut self,
        timeout: Duration,
    ) -> Option<Result<(), Discard>> {
        let connection = self.connection;
        let answer = self.answer.as_mut();
        match connection.replied_within(timeout, answer).await? {
            true => {
                let now = connection.now();
                let mut health = connection.health();
                health.heard(now);
                health.measured(self.sent.elapsed());
                connection.session.touched.store(false, Ordering::Relaxed);
                Some(Ok(()))
            }
            false => {
                connection
                    .opener()
                    .siblings(connection.session.place)
                    .lost();
                Some(Err(Discard::Closed))
            }
        }
    }
}

/// Opening a connection takes five round trips, and costs the cluster one of 100 a second.
const LEAST_HEDGE_DELAY: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::super::health::Health;
    use super::*;
    use crate::clock::Moment;

    /// After a freeze whose network is dead, the next checkout takes this time and one opening.
    #[test]
    fn unanswered_ping_costs_100_ms_at_the_usual_distance() {
        let now = Moment {
            wall: std::time::SystemTime::UNIX_EPOCH,
            monotonic: Instant::now(),
        };
        let mut health = Health::new(now, now, Duration::from_secs(3_300), 0.5);
        for round_trip in [0, 1, 5, 25] {
            health.measured(Duration::from_millis(round_trip));
            assert!(health.patience(LEAST_HEDGE_DELAY) <= Duration::from_millis(100));
        }
    }
}
