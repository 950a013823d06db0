//! The progress of all workers, to detect when none makes any.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The progress of all workers.
#[derive(Debug)]
pub(crate) struct Progress {
    workers: Vec<WorkerProgress>,
    finished: AtomicU64,
    committed: AtomicU64,
    closing: AtomicBool,
}

/// The progress of one worker.
#[derive(Debug)]
pub(crate) struct WorkerProgress {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    usage: &'static str,
    transfer: i64,
    step: Step,
    since: Instant,
}

/// The steps of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Between two transfers.
    Between,
    /// The transaction was called; its body has not started.
    Called,
    /// The body runs.
    Body,
    /// The body has ended; the call has not returned.
    End,
}

impl Progress {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: std::iter::repeat_with(WorkerProgress::new)
                .take(workers)
                .collect(),
            finished: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn worker_progress(&self, worker: usize) -> &WorkerProgress {
        &self.workers[worker]
    }

    /// Counts a result.
    pub(crate) fn finished(&self, is_committed: bool) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        self.committed
            .fetch_add(u64::from(is_committed), Ordering::Relaxed);
    }

    /// Returns after this many more results.
    pub(crate) async fn results(&self, more: u64) {
        let enough = self.finished.load(Ordering::Relaxed) + more;
        while self.finished.load(Ordering::Relaxed) < enough {
            sleep(LOOK).await;
        }
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Asks the workers to start nothing more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Returns once no worker got a result for this long.
    pub(crate) async fn stuck_for(&self, limit: Duration) {
        let mut seen = self.finished.load(Ordering::Relaxed);
        loop {
            sleep(limit).await;
            let now = self.finished.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (worker, worker_progress) in self.workers.iter().enumerate() {
            let state = worker_progress.state();
            writeln!(
                f,
                "worker {worker}: {} of transfer {} ({}) for {:.1} s",
                state.step,
                state.transfer,
                state.usage,
                state.since.elapsed().as_secs_f64()
            )?;
        }
        Ok(())
    }
}

impl WorkerProgress {
    fn new() -> Self {
        Self {
            state: Mutex::new(State {
                usage: "none",
                transfer: 0,
                step: Step::Between,
                since: Instant::now(),
            }),
        }
    }

    /// Records the start of a transfer.
    pub(crate) fn takes(&self, transfer: i64, usage: &'static str) {
        *self.state() = State {
            usage,
            transfer,
            step: Step::Called,
            since: Instant::now(),
        };
    }

    /// Records a step.
    pub(crate) fn at(&self, step: Step) {
        let mut state = self.state();
        state.step = step;
        state.since = Instant::now();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Between => "after the end",
            Self::Called => "before the body",
            Self::Body => "in the body",
            Self::End => "after the body",
        })
    }
}

const LOOK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn one_answer_in_time_is_enough() {
        let progress = Progress::new(2);
        let work = async {
            for _ in 0..10 {
                sleep(MINUTE / 2).await;
                progress.finished(false);
            }
        };
        let begun = Instant::now();
        tokio::join!(work, progress.stuck_for(MINUTE));
        assert!(begun.elapsed() >= MINUTE * 6, "{:?}", begun.elapsed());
        assert!(
            timeout(MINUTE * 2, progress.stuck_for(MINUTE))
                .await
                .is_ok()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn progress_shows_the_step_of_each_worker() {
        let progress = Progress::new(2);
        progress.worker_progress(1).takes(7, "plain");
        progress.worker_progress(1).at(Step::Body);
        sleep(MINUTE).await;
        let outcome = progress.to_string();
        assert!(
            outcome.contains("worker 1: in the body of transfer 7 (plain) for 60.0 s"),
            "{outcome}"
        );
    }
}
