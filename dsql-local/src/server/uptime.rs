//! The monotonic clock of session and transaction limits, which tests can advance. Tokens have a
//! clock of their own (`iam::clock`): a test can expire a session without expiring tokens.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A monotonic clock that can be advanced, which wakes pending [`reached`](Self::reached) calls.
#[derive(Debug)]
pub(crate) struct Uptime {
    start: Instant,
    ahead: watch::Sender<Duration>,
}

impl Default for Uptime {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            ahead: watch::Sender::default(),
        }
    }
}

impl Uptime {
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed().saturating_add(*self.ahead.borrow())
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.ahead
            .send_modify(|ahead| *ahead = ahead.saturating_add(by));
    }

    /// Waits until the clock reaches `time`.
    pub(crate) async fn reached(&self, time: Duration) {
        let mut moved = self.ahead.subscribe();
        loop {
            let left = time.saturating_sub(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                changed = moved.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn advancing_the_clock_wakes_waiters() {
        let uptime = Uptime::default();
        let hour = Duration::from_secs(3_600);
        let waiting = uptime.reached(2 * hour);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("it is too early"),
            () = std::future::ready(()) => {}
        }
        uptime.advance(hour);
        let before = Instant::now();
        waiting.await;
        assert!(before.elapsed() <= hour + Duration::from_millis(1));
        assert!(uptime.now() >= 2 * hour);
    }
}
