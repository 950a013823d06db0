//! The state of the session on a [`Wire`](super::Wire), for the connection and its task.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::session_state::{SessionState, Status};
use super::task_waker::TaskWaker;
use crate::sqlstate::ServerError;

/// The state of the session on a [`Wire`](super::Wire).
#[derive(Clone, Default)]
pub(crate) struct Watch {
    pub(super) shared: Arc<Shared>,
}

#[derive(Default)]
pub(super) struct Shared {
    state: Mutex<SessionState>,
    task: Arc<TaskWaker>,
    pub(super) first_write: OnceLock<Instant>,
    pub(super) first_reply: OnceLock<Instant>,
}

impl Watch {
    /// Waits for one run of the connection task, which writes what was queued before this call and
    /// reads what has arrived. [`is_settled`](Self::is_settled) is reliable only after it.
    /// Unnecessary while [`is_at_rest`](Self::is_at_rest) and nothing has arrived.
    pub(crate) async fn fence(&self) {
        let request = self.shared.lock().fence.request();
        self.shared.task.wake();
        self.until(|state| state.is_closed() || state.fence.is_reached(request))
            .await;
    }

    /// Waits until every statement was answered and the driver holds back nothing, or the session
    /// ended. Has no deadline of its own.
    pub(crate) async fn settled(&self) {
        self.until(|state| state.is_closed() || state.is_settled())
            .await;
    }

    /// Returns whether [`settled`](Self::settled) would return at once.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.shared.lock();
        state.is_closed() || state.is_settled()
    }

    /// Returns whether the session is settled, and nothing has woken the connection task since its
    /// last run. Bytes that arrive meanwhile wake the task only when the runtime polls the socket.
    pub(crate) fn is_at_rest(&self) -> bool {
        // The order matters: the fence knows of a run before the run unsets the flag.
        !self.shared.task.is_woken() && self.is_settled()
    }

    /// Waits for the reply to `BEGIN` if no other reply is pending. Has no deadline of its own.
    pub(crate) async fn begun(&self) {
        self.until(|state| state.is_closed() || !state.awaits_begin_alone())
            .await;
    }

    /// Returns the transaction status after the last reply.
    pub(crate) fn status(&self) -> Status {
        self.shared.lock().status()
    }

    /// Returns whether the next statement would be part of a transaction.
    pub(crate) fn is_in_transaction(&self) -> bool {
        self.shared.lock().is_in_transaction()
    }

    /// Returns whether the server did not ask for the password that the startup packet brought.
    pub(crate) fn password_was_unwanted(&self) -> bool {
        self.shared.lock().password_was_unwanted
    }

    /// Returns whether the session has ended, or can no longer be followed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().is_closed()
    }

    /// Returns whether replies can no longer be matched with requests, as after a `COPY` that
    /// failed.
    pub(crate) fn is_out_of_step(&self) -> bool {
        self.shared.lock().out_of_step
    }

    /// Returns whether rows of a query wait for their reader, so that later replies cannot arrive.
    pub(crate) fn has_unread_rows(&self) -> bool {
        self.shared.lock().has_unread_rows()
    }

    /// Returns whether a statement waits for its reply behind such rows.
    pub(crate) fn waits_behind_rows(&self) -> bool {
        self.shared.lock().waits_behind_rows()
    }

    /// Starts to observe a transaction, and pipelines the `BEGIN` that is queued next.
    pub(crate) fn begin_pipelined(&self) {
        self.shared.lock().begin_pipelined();
    }

    /// Forgets what was seen so far: `COMMIT` is queued next.
    pub(crate) fn observe_commit(&self) {
        self.shared.lock().forget();
    }

    /// Returns the first conflict of the transaction, or of its `COMMIT`.
    pub(crate) fn conflict(&self) -> Option<ServerError> {
        self.shared.lock().transaction.conflict.clone()
    }

    /// Returns the first error of the transaction, or of its `COMMIT`.
    pub(crate) fn failure(&self) -> Option<ServerError> {
        self.shared.lock().transaction.failure.clone()
    }

    /// Returns whether the transaction has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.shared.lock().transaction.has_ended
    }

    /// Returns whether anything was sent that may have committed the transaction.
    pub(crate) fn may_have_committed(&self) -> bool {
        self.shared.lock().transaction.may_have_committed
    }

    /// Returns whether the last command completed with this tag.
    pub(crate) fn completed_with(&self, tag: &str) -> bool {
        self.shared.lock().transaction.tag.as_deref() == Some(tag.as_bytes())
    }

    /// Returns the time from the startup packet to the server's first reply: one round trip,
    /// without the check of the token.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let sent = self.shared.first_write.get()?;
        Some(self.shared.first_reply.get()?.duration_since(*sent))
    }

    /// Returns the waker to poll the driver with.
    pub(crate) fn driver_waker(&self) -> Waker {
        Arc::clone(&self.shared.task).into()
    }

    /// Notes that the owner drops the connection, so that the task ends.
    pub(crate) fn leave(&self) {
        self.shared.lock().leaving = true;
        self.shared.task.wake();
    }

    /// Notes that a run of the connection task begins. `waker` schedules the next one.
    pub(crate) fn turn_begins(&self, waker: &Waker) {
        self.shared.lock().fence.turn_begins();
        self.shared.task.run_begins(waker);
    }

    /// Notes that a run of the connection task ends. Returns whether the owner has dropped the
    /// connection.
    pub(crate) fn turn_ends(&self) -> bool {
        let mut state = self.shared.lock();
        state.fence.turn_ends();
        let leaving = state.leaving;
        changed(state);
        leaving
    }

    /// Notes that this side aborts the connection task.
    pub(crate) fn abort(&self) {
        self.shared.lock().aborted = true;
        self.close();
    }

    /// Returns whether this side has aborted the connection task.
    pub(crate) fn was_aborted(&self) -> bool {
        self.shared.lock().aborted
    }

    /// Notes that nothing will be read or written any more.
    pub(crate) fn close(&self) {
        let mut state = self.shared.lock();
        state.close();
        changed(state);
    }

    pub(super) async fn until(&self, condition: impl Fn(&SessionState) -> bool) {
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if condition(&state) {
                return Poll::Ready(());
            }
            state.waiters.add(cx.waker());
            Poll::Pending
        })
        .await;
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, SessionState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a change of the state: wakes the callers that wait for one.
pub(super) fn changed(mut state: MutexGuard<'_, SessionState>) {
    let waiters = state.waiters.take();
    drop(state);
    waiters.wake();
}
