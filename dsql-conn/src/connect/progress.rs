//! Records how far an opening has got, for callers whose deadline passes before that of the
//! opening.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::error::ConnectError;
use crate::telemetry::Stages;

/// The step of an opening, and its last failed attempt. Clones share both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    step: AtomicU8,
    stages: Stages,
    last_failure: Mutex<Option<ConnectError>>,
    /// The failed attempts of this opening, and of the one in the other Region.
    failures: Arc<AtomicU32>,
    /// Signals a failed attempt.
    failed: Notify,
}

/// The steps of an attempt, in order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Credentials,
    Token,
    Name,
    Tcp,
    Tls,
    Login,
}

impl Progress {
    /// Returns the progress for an opening in the other Region. Its failed attempts count here,
    /// too.
    pub(super) fn in_other_region(&self) -> Self {
        Self(Arc::new(State {
            failures: Arc::clone(&self.0.failures),
            ..State::default()
        }))
    }

    pub(super) fn enter(&self, step: Step) {
        self.0.step.store(step as u8, Ordering::Relaxed);
        self.0.stages.enter(step.as_str());
    }

    /// Records that the attempt has ended.
    pub(super) fn ended(&self) {
        self.0.stages.end();
    }

    pub(super) fn failed(&self, error: &ConnectError) {
        self.ended();
        *self.last() = Some(error.clone());
        self.0.failures.fetch_add(1, Ordering::Relaxed);
        self.0.failed.notify_one();
    }

    /// Waits for the next failed attempt.
    pub(super) async fn failure(&self) -> ConnectError {
        loop {
            self.0.failed.notified().await;
            if let Some(error) = self.last_failure() {
                return error;
            }
        }
    }

    /// Returns why the last completed attempt failed.
    pub(crate) fn last_failure(&self) -> Option<ConnectError> {
        self.last().clone()
    }

    /// Returns how many attempts failed, in both Regions.
    pub(crate) fn failures(&self) -> u32 {
        self.0.failures.load(Ordering::Relaxed)
    }

    fn last(&self) -> MutexGuard<'_, Option<ConnectError>> {
        let last = self.0.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    /// Returns a stable name for events.
    fn as_str(self) -> &'static str {
        match self {
            Self::Credentials => "credentials",
            Self::Token => "token",
            Self::Name => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Login => "login",
        }
    }
}

/// Names the step in progress.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [&str; 6] = [
            "fetching AWS credentials",
            "signing the token",
            "name resolution",
            "the TCP connect",
            "the TLS handshake",
            "the login",
        ];
        let step = usize::from(self.0.step.load(Ordering::Relaxed));
        f.write_str(STEPS.get(step).unwrap_or(&"its start"))
    }
}
