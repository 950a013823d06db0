//! Detects when the driver has no queued statement and no unread bytes.
//!
//! The wire sees the bytes that pass, not the driver's queue. A statement whose future was polled
//! once and dropped stays in that queue, and unread rows stop the driver from reading. Only a run
//! of the connection task that began after the request proves that neither is the case.

/// The runs of the connection task.
#[derive(Debug, Default)]
pub(super) struct Fence {
    requested: u64,
    /// The requests that had been made when the current run began.
    seen: u64,
    completed: u64,
    /// The last write of this run was flushed.
    pub(super) flushed: bool,
    /// Nothing was left to read in this run.
    pub(super) drained: bool,
    outcome: Outcome,
}

/// The result of the last run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// A run is in progress, or there was none.
    #[default]
    Unknown,
    /// Everything was written, and nothing was left to read.
    Clear,
    /// The driver stopped reading although the connection may have more.
    HeldUp,
    /// The driver could not write its whole queue.
    Writing,
}

impl Fence {
    /// Requests a run. It has ended when [`is_reached`](Self::is_reached) is true for the returned
    /// number.
    pub(super) fn request(&mut self) -> u64 {
        self.requested += 1;
        self.requested
    }

    /// Notes that a run begins. The driver empties its queue first and flushes last, and a
    /// statement may be queued in between. So a run answers only requests from before it began.
    pub(super) fn turn_begins(&mut self) {
        self.seen = self.requested;
        self.flushed = false;
        self.drained = false;
        self.outcome = Outcome::Unknown;
    }

    pub(super) fn turn_ends(&mut self) {
        self.completed = self.seen;
        self.outcome = match (self.flushed, self.drained) {
            (true, true) => Outcome::Clear,
            (_, false) => Outcome::HeldUp,
            (false, true) => Outcome::Writing,
        };
    }

    pub(super) fn is_reached(&self, request: u64) -> bool {
        self.completed >= request
    }

    /// Returns whether the driver had written its whole queue, and read everything that had
    /// arrived, at the end of its last run.
    pub(super) fn is_clear(&self) -> bool {
        self.outcome == Outcome::Clear
    }

    /// Returns whether the driver could not write its whole queue in its last run.
    pub(super) fn is_writing(&self) -> bool {
        self.outcome == Outcome::Writing
    }

    /// Returns whether the driver stopped reading in its last run because rows are unread.
    pub(super) fn is_held_up(&self) -> bool {
        self.outcome == Outcome::HeldUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_answers_only_requests_from_before_it_began() {
        let mut fence = Fence::default();
        fence.turn_begins();
        let request = fence.request();
        (fence.drained, fence.flushed) = (true, true);
        fence.turn_ends();
        assert!(!fence.is_reached(request));
        fence.turn_begins();
        fence.turn_ends();
        assert!(fence.is_reached(request));
    }

    #[test]
    fn a_run_is_clear_only_if_it_flushed_and_read_everything() {
        for (flushed, drained) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut fence = Fence::default();
            fence.turn_begins();
            (fence.flushed, fence.drained) = (flushed, drained);
            fence.turn_ends();
            assert_eq!(fence.is_clear(), flushed && drained);
            assert_eq!(fence.is_held_up(), !drained);
        }
    }
}
