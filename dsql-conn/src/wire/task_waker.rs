//! Wakes the connection task, and knows whether it has run since.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures_util::task::AtomicWaker;

/// The waker that the driver is polled with: a request in its queue, bytes that arrive and the end
/// of the session all wake it.
#[derive(Default)]
pub(super) struct TaskWaker {
    /// Woken since the last run of the task began.
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl TaskWaker {
    /// Notes that a run of the task begins. `task` schedules the next one.
    ///
    /// Call this after the fence has noted that the run begins. A reader that finds the flag unset
    /// then also sees that run, and whether it has ended.
    pub(super) fn run_begins(&self, task: &Waker) {
        self.task.register(task);
        self.is_woken.store(false, Ordering::Release);
    }

    /// Returns whether the task has something to do that the last run has not seen.
    pub(super) fn is_woken(&self) -> bool {
        self.is_woken.load(Ordering::Acquire)
    }

    pub(super) fn wake(&self) {
        self.is_woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        Self::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Self::wake(self);
    }
}
