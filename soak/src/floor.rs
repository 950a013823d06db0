//! Where the workers stand, and whether any of them still gets on.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The place where all workers work.
#[derive(Debug)]
pub(crate) struct Floor {
    stands: Vec<Stand>,
    answered: AtomicU64,
    committed: AtomicU64,
    closing: AtomicBool,
}

/// Where one worker stands.
#[derive(Debug)]
pub(crate) struct Stand {
    place: Mutex<Place>,
}

#[derive(Debug)]
struct Place {
    manner: &'static str,
    transfer: i64,
    step: Step,
    since: Instant,
}

/// A step on the way through one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Between two transfers.
    Between,
    /// It asked; its body has not begun.
    Asked,
    /// Its body runs.
    Body,
    /// Its body has ended, and it has no answer yet.
    End,
}

impl Floor {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            stands: std::iter::repeat_with(Stand::new).take(workers).collect(),
            answered: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }
    }

    pub(crate) fn stand(&self, worker: usize) -> &Stand {
        &self.stands[worker]
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, is_committed: bool) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.committed
            .fetch_add(u64::from(is_committed), Ordering::Relaxed);
    }

    /// Returns once so many more answers came.
    pub(crate) async fn answers(&self, more: u64) {
        let enough = self.answered.load(Ordering::Relaxed) + more;
        while self.answered.load(Ordering::Relaxed) < enough {
            sleep(LOOK).await;
        }
    }

    pub(crate) fn committed(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }

    /// Tells the workers to begin nothing more.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// Returns once nobody got an answer for so long.
    pub(crate) async fn stuck_for(&self, patience: Duration) {
        let mut seen = self.answered.load(Ordering::Relaxed);
        loop {
            sleep(patience).await;
            let now = self.answered.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (worker, stand) in self.stands.iter().enumerate() {
            let place = stand.place();
            writeln!(
                f,
                "worker {worker}: {} of transfer {} ({}) for {:.1} s",
                place.step,
                place.transfer,
                place.manner,
                place.since.elapsed().as_secs_f64()
            )?;
        }
        Ok(())
    }
}

impl Stand {
    fn new() -> Self {
        Self {
            place: Mutex::new(Place {
                manner: "none",
                transfer: 0,
                step: Step::Between,
                since: Instant::now(),
            }),
        }
    }

    /// Notes which transfer comes now.
    pub(crate) fn takes(&self, transfer: i64, manner: &'static str) {
        *self.place() = Place {
            manner,
            transfer,
            step: Step::Asked,
            since: Instant::now(),
        };
    }

    /// Notes how far it has come.
    pub(crate) fn at(&self, step: Step) {
        let mut place = self.place();
        place.step = step;
        place.since = Instant::now();
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Between => "after the end",
            Self::Asked => "before the body",
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
        let floor = Floor::new(2);
        let work = async {
            for _ in 0..10 {
                sleep(MINUTE / 2).await;
                floor.answered(false);
            }
        };
        let begun = Instant::now();
        tokio::join!(work, floor.stuck_for(MINUTE));
        assert!(begun.elapsed() >= MINUTE * 6, "{:?}", begun.elapsed());
        assert!(timeout(MINUTE * 2, floor.stuck_for(MINUTE)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn it_tells_where_each_worker_stands() {
        let floor = Floor::new(2);
        floor.stand(1).takes(7, "plain");
        floor.stand(1).at(Step::Body);
        sleep(MINUTE).await;
        let told = floor.to_string();
        assert!(
            told.contains("worker 1: in the body of transfer 7 (plain) for 60.0 s"),
            "{told}"
        );
    }
}
