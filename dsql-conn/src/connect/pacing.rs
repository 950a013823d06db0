//! Paces attempts to connect, so that many clients at once all get connections.
//!
//! The service admits 100 connections a second after a burst of 1,000
//! ([quotas](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html)), and
//! Lambda starts 1,000 environments in ten seconds. Clients that were refused must not retry at the
//! same time.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::telemetry::event;

/// The attempts of one opening, until its deadline.
pub(super) struct Attempts {
    deadline: Instant,
    made: u32,
}

impl Attempts {
    pub(super) fn within(timeout: Duration) -> Self {
        Self {
            deadline: Instant::now() + timeout,
            made: 0,
        }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns how many attempts have begun.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Counts another attempt and returns its number.
    pub(super) fn next(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    /// Waits before the next attempt, or breaks if it would begin past the deadline.
    pub(super) async fn back_off(&self) -> ControlFlow<()> {
        let delay = BACKOFF.delay(self.made, rand::random());
        if Instant::now() + delay >= self.deadline {
            return ControlFlow::Break(());
        }
        event::connect_backs_off(self.made + 1, delay);
        sleep(delay).await;
        ControlFlow::Continue(())
    }
}

/// Its attempts last long enough for a cluster to wake up.
pub(crate) const BACKOFF: Backoff = Backoff {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(5),
};

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::join_all;
    use tokio::time::timeout_at;

    use super::*;
    use crate::error::Failure;
    use crate::reason::Reason;

    /// The service's bucket:
    /// <https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html>.
    struct Bucket {
        tokens: f64,
        filled: Instant,
        knocks: u32,
    }

    const BURST: f64 = 1_000.0;
    const RATE: f64 = 100.0;
    /// One login: 15 ms to 120 ms were reported.
    const LOGIN: Duration = Duration::from_millis(50);

    impl Bucket {
        fn full() -> Arc<Mutex<Self>> {
            Arc::new(Mutex::new(Self {
                tokens: BURST,
                filled: Instant::now(),
                knocks: 0,
            }))
        }

        fn admits(&mut self) -> bool {
            let passed = self.filled.elapsed().as_secs_f64();
            self.filled = Instant::now();
            self.tokens = (self.tokens + passed * RATE).min(BURST);
            self.knocks += 1;
            let admits = self.tokens >= 1.0;
            if admits {
                self.tokens -= 1.0;
            }
            admits
        }
    }

    async fn knock(bucket: &Mutex<Bucket>) -> Result<(), Failure> {
        sleep(LOGIN).await;
        match bucket.lock().unwrap().admits() {
            true => Ok(()),
            false => Err(Failure::new("host", "user", Reason::RateExceeded)),
        }
    }

    /// The result of 5,000 clients that connect at once.
    struct Crowd {
        /// When each client was admitted, in order.
        entered: Vec<Duration>,
        /// The reasons in the errors of the other clients.
        told: Vec<Option<Reason>>,
        knocks: u32,
    }

    impl Crowd {
        /// Simulates clients that connect with this policy.
        async fn of<F, Fut>(policy: F) -> Self
        where
            F: Fn(Arc<Mutex<Bucket>>) -> Fut,
            Fut: Future<Output = Result<(), Option<Reason>>>,
        {
            let bucket = Bucket::full();
            let start = Instant::now();
            let came =
                join_all((0..5_000).map(|_| async {
                    policy(Arc::clone(&bucket)).await.map(|()| start.elapsed())
                }))
                .await;
            let (entered, told): (Vec<_>, Vec<_>) = came.into_iter().partition(Result::is_ok);
            let mut entered: Vec<_> = entered.into_iter().flatten().collect();
            entered.sort_unstable();
            let knocks = bucket.lock().unwrap().knocks;
            Self {
                entered,
                told: told.into_iter().filter_map(Result::err).collect(),
                knocks,
            }
        }

        fn row(&self, name: &str) {
            let last = self.entered.last().copied().unwrap_or_default();
            println!(
                "| {name} | {} | {} | {:.0} s | {:.1} |",
                self.entered.len(),
                self.told.len(),
                last.as_secs_f64(),
                f64::from(self.knocks) / 5_000.0
            );
        }
    }

    async fn ours(bucket: Arc<Mutex<Bucket>>, timeout: Duration) -> Result<(), Option<Reason>> {
        let mut attempts = Attempts::within(timeout);
        let mut last = None;
        loop {
            attempts.next();
            match timeout_at(attempts.deadline(), knock(&bucket)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => last = Some(failure.reason()),
                Err(_) => return Err(last),
            }
            if attempts.back_off().await.is_break() {
                return Err(last);
            }
        }
    }

    async fn at_once(bucket: Arc<Mutex<Bucket>>) -> Result<(), Option<Reason>> {
        let knocking = async { while knock(&bucket).await.is_err() {} };
        let in_time = tokio::time::timeout(LAMBDA_TIMEOUT, knocking).await;
        in_time.map_err(|_| None)
    }

    /// Connects like `add_connection` of bb8 0.9.1: the waiter leaves at the timeout, and its error
    /// has no cause.
    async fn like_bb8(bucket: Arc<Mutex<Bucket>>) -> Result<(), Option<Reason>> {
        let knocking = async {
            let mut delay = Duration::ZERO;
            while knock(&bucket).await.is_err() {
                delay = delay.max(Duration::from_millis(200));
                delay = (2 * delay).min(BB8_TIMEOUT / 2);
                sleep(delay).await;
            }
        };
        let in_time = tokio::time::timeout(BB8_TIMEOUT, knocking).await;
        in_time.map_err(|_| None)
    }

    const BB8_TIMEOUT: Duration = Duration::from_secs(30);
    const LAMBDA_TIMEOUT: Duration = Duration::from_secs(5);
    const SERVER_TIMEOUT: Duration = Duration::from_secs(10);

    /// Prints the table of `docs/crowds.md`.
    #[tokio::test(start_paused = true)]
    async fn many_clients_connect_nearly_as_fast_as_the_service_allows() {
        let patient = Crowd::of(|bucket| ours(bucket, Duration::from_secs(3_600))).await;
        let server = Crowd::of(|bucket| ours(bucket, SERVER_TIMEOUT)).await;
        let lambda = Crowd::of(|bucket| ours(bucket, LAMBDA_TIMEOUT)).await;
        patient.row("dsql-conn, deadline lifted");
        server.row("dsql-conn, 10 s (a server's default)");
        lambda.row("dsql-conn, 5 s (a Lambda's default)");
        Crowd::of(like_bb8)
            .await
            .row("bb8's backoff, 30 s (its default)");
        let hasty = Crowd::of(at_once).await;
        hasty.row("again at once, 5 s");
        // In the same time, bb8's backoff makes far more attempts and opens no more connections.
        assert!(10 * lambda.knocks < hasty.knocks);

        let bound = Duration::from_secs_f64((5_000.0 - BURST) / RATE);
        assert_eq!(patient.entered.len(), 5_000);
        let last = patient.entered.last().copied().unwrap_or_default();
        assert!(last <= bound.mul_f64(1.25), "{last:?}");

        for (crowd, timeout) in [(lambda, LAMBDA_TIMEOUT), (server, SERVER_TIMEOUT)] {
            let allowed = BURST + RATE * timeout.as_secs_f64();
            let entered = crowd.entered.len();
            assert!(entered as f64 >= 0.95 * allowed, "{entered} of {allowed}");
            let is_throttled = |told: &Option<Reason>| *told == Some(Reason::RateExceeded);
            assert!(crowd.told.iter().all(is_throttled));
        }
    }
}
