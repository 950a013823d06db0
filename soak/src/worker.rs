//! A worker: makes one transfer after another in different ways, and records the results.

use std::sync::Arc;
use std::time::Duration;

use dsql_conn::Pool;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bank::{Opening, Transfer};
use crate::journal::{Entry, Outcome};
use crate::progress::{Progress, Step};
use crate::retries::{Retries, Runs};
use crate::usage::{Call, Usage};

/// What a worker needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) pool: Pool,
    pub(crate) opening: Opening,
    pub(crate) seed: u64,
    pub(crate) progress: Arc<Progress>,
    pub(crate) retries: Arc<Retries>,
}

impl Worker {
    /// Runs until the run ends, and returns the journal.
    pub(crate) async fn work(self) -> Vec<Entry> {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(self.number as u64));
        let mut journal = Vec::new();
        let worker_progress = self.progress.worker_progress(self.number);
        // The upper half of the number identifies the worker.
        let first = (self.number as i64) << 32;
        for id in first.. {
            if self.progress.is_closing() {
                break;
            }
            let usage = Usage::draw(&mut rng);
            let transfer = self.draw(id, usage, &mut rng);
            worker_progress.takes(id, usage.name());
            let call = Call {
                pool: &self.pool,
                transfer: &transfer,
                runs: Runs::of(&self.retries, worker_progress),
                limit: Duration::from_micros(rng.random_range(0..30_000)),
            };
            let answer = call.make(usage).await;
            self.progress.finished(answer.outcome == Outcome::Committed);
            worker_progress.at(Step::Between);
            journal.push(Entry {
                transfer,
                usage: usage.name(),
                answer,
            });
        }
        journal
    }

    fn draw(&self, id: i64, usage: Usage, rng: &mut StdRng) -> Transfer {
        let accounts = self.opening.accounts;
        let from = rng.random_range(1..=accounts);
        let others = rng.random_range(1..accounts);
        let amount = rng.random_range(1..=100);
        Transfer {
            id,
            from,
            to: (from + others - 1) % accounts + 1,
            amount: if usage.moves_money() { amount } else { 0 },
        }
    }
}
