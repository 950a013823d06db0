//! Tells how far an opening has got, for callers whose deadline passes before its own.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::ConnectError;

/// The step of an opening, and its last failed attempt. Clones share both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    step: AtomicU8,
    last_failure: Mutex<Option<ConnectError>>,
}

/// The steps of an attempt, in order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Credentials,
    Name,
    Tcp,
    Tls,
    Login,
}

impl Progress {
    pub(super) fn enter(&self, step: Step) {
        self.0.step.store(step as u8, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, error: &ConnectError) {
        *self.last() = Some(error.clone());
    }

    /// Why the last completed attempt failed.
    pub(crate) fn last_failure(&self) -> Option<ConnectError> {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, Option<ConnectError>> {
        let last = self.0.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names the step in progress.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [&str; 5] = [
            "fetching AWS credentials",
            "name resolution",
            "the TCP connect",
            "the TLS handshake",
            "the login",
        ];
        let step = usize::from(self.0.step.load(Ordering::Relaxed));
        f.write_str(STEPS.get(step).unwrap_or(&"its start"))
    }
}
