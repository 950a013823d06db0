//! How far a dial has come, for those whose deadline passes before its own.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use crate::error::ConnectError;

/// What a dial is doing, and what its last attempt failed by. Clones tell of the same dial.
#[derive(Clone, Default)]
pub(crate) struct Progress(Arc<State>);

#[derive(Default)]
struct State {
    phase: AtomicU8,
    last_failure: Mutex<Option<ConnectError>>,
}

/// The steps of an attempt, in order.
#[derive(Clone, Copy)]
pub(super) enum Phase {
    Credentials,
    Name,
    Tcp,
    Tls,
    Login,
}

impl Progress {
    pub(super) fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, error: ConnectError) {
        *self.last() = Some(error);
    }

    /// What the last attempt that came to its end failed by.
    pub(crate) fn last_failure(&self) -> Option<ConnectError> {
        self.last().clone()
    }

    fn last(&self) -> MutexGuard<'_, Option<ConnectError>> {
        let last = self.0.last_failure.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the attempt under way is doing.
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [&str; 5] = [
            "fetching AWS credentials",
            "name resolution",
            "the TCP connect",
            "the TLS handshake",
            "the login",
        ];
        let phase = usize::from(self.0.phase.load(Ordering::Relaxed));
        f.write_str(STEPS.get(phase).unwrap_or(&"its start"))
    }
}
