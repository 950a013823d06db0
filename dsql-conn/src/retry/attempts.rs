//! Counts the attempts that a policy allows.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{FOREVER, RetryPolicy};
use crate::cause::Cause;
use crate::telemetry::event;

/// The attempts at one operation.
pub(crate) struct Attempts {
    policy: RetryPolicy,
    started: Instant,
    deadline: Instant,
    made: u32,
    /// How often each cause was met.
    met: [u32; Cause::COUNT],
}

impl Attempts {
    /// Starts with the first attempt.
    pub(super) fn new(policy: RetryPolicy, started: Instant) -> Self {
        Self {
            policy,
            started,
            deadline: started + policy.timeout.min(FOREVER),
            made: 1,
            met: [0; Cause::COUNT],
        }
    }

    /// Waits before the next attempt, or breaks if there is none.
    pub(crate) async fn back_off(&mut self, cause: Cause) -> ControlFlow<()> {
        // Both mean a lost connection, which the transaction itself may have caused.
        let counted = match cause {
            Cause::CommitLost => Cause::Lost,
            cause => cause,
        };
        let met = &mut self.met[counted as usize];
        *met += 1;
        let met = *met;
        let is_allowed = match cause {
            Cause::Data | Cause::Schema => true,
            Cause::StalePlan | Cause::Lost | Cause::CommitLost | Cause::Unavailable => {
                met <= MAX_RETRIES_OF_OWN_CAUSE
            }
            Cause::Unknown => self.policy.idempotent && met <= MAX_RETRIES_OF_OWN_CAUSE,
        };
        if !is_allowed || self.made >= self.policy.max_attempts {
            return ControlFlow::Break(());
        }
        let unit = rand::random();
        let delay = match cause {
            Cause::Data => self.policy.data.delay(met, unit),
            Cause::Schema | Cause::Unknown if met == 1 => Duration::ZERO,
            // An unknown outcome need not be of a lost connection: the server may be unavailable.
            Cause::Schema | Cause::Unknown => self.policy.schema.delay(met - 1, unit),
            Cause::Unavailable => self.policy.schema.delay(met, unit),
            // The pool paces the opening of connections.
            Cause::StalePlan | Cause::Lost | Cause::CommitLost => Duration::ZERO,
        };
        if delay >= self.left() {
            return ControlFlow::Break(());
        }
        event::retries(self.made + 1, cause, delay);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        self.made += 1;
        ControlFlow::Continue(())
    }

    /// Returns how many attempts have begun.
    pub(crate) fn made(&self) -> u32 {
        self.made
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Returns the time until the deadline.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// How often an operation is retried after failures that it may have caused itself.
const MAX_RETRIES_OF_OWN_CAUSE: u32 = 3;
