//! A worker: makes one transfer after another in different ways, and records the results.

use std::sync::Arc;
use std::time::Duration;

use dsql_conn::Pool;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bank::{Opening, Transfer};
use crate::call::Call;
use crate::isolation::Attempt;
use crate::journal::{CallResult, Entry, Outcome};
use crate::lists::{Lists, Visit};
use crate::progress::{Progress, Step};
use crate::retries::{Retries, Runs};
use crate::tally::Tally;
use crate::usage::Usage;

/// What a worker needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) pool: Pool,
    pub(crate) opening: Opening,
    pub(crate) seed: u64,
    pub(crate) progress: Arc<Progress>,
    pub(crate) retries: Arc<Retries>,
    pub(crate) lists: Arc<Lists>,
}

/// What a worker did.
#[derive(Debug, Default)]
pub(crate) struct Work {
    pub(crate) journal: Vec<Entry>,
    /// The attempts of its transactions on lists.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) tally: Tally,
}

impl Worker {
    /// Runs until the run ends.
    pub(crate) async fn work(self) -> Work {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(self.number as u64));
        let mut work = Work::default();
        let worker_progress = self.progress.worker_progress(self.number);
        // The upper half of the number identifies the worker.
        let first = (self.number as i64) << 32;
        for id in first.. {
            if self.progress.is_closing() {
                break;
            }
            // Half of all transactions have an outcome table: some usages cannot.
            let is_recorded = rng.random_ratio(3, 5);
            if rng.random_ratio(1, 3) {
                let answer = self.visit(id, is_recorded, &mut rng, &mut work).await;
                work.tally.add(&answer, is_recorded);
                continue;
            }
            let usage = Usage::draw(&mut rng);
            let transfer = self.draw(id, usage, &mut rng);
            worker_progress.takes(id, usage.name());
            let call = Call {
                pool: &self.pool,
                transfer: &transfer,
                runs: Runs::of(&self.retries, worker_progress),
                limit: Duration::from_micros(rng.random_range(0..30_000)),
                is_recorded: is_recorded && usage.can_be_recorded(),
            };
            let answer = call.make(usage).await;
            self.progress.finished(answer.outcome == Outcome::Committed);
            worker_progress.at(Step::Between);
            work.tally.add(&answer, call.is_recorded);
            work.journal.push(Entry {
                transfer,
                usage: usage.name(),
                answer,
            });
        }
        work
    }

    /// Runs a transaction on lists.
    async fn visit(
        &self,
        id: i64,
        is_recorded: bool,
        rng: &mut StdRng,
        work: &mut Work,
    ) -> CallResult {
        let worker_progress = self.progress.worker_progress(self.number);
        worker_progress.takes(id, "lists");
        let visit = Visit {
            pool: &self.pool,
            lists: &self.lists,
            runs: Runs::of(&self.retries, worker_progress),
            steps: self.lists.draw(rng),
            is_recorded,
        };
        let (answer, attempts) = visit.make().await;
        work.attempts.extend(attempts);
        self.progress.finished(answer.outcome == Outcome::Committed);
        worker_progress.at(Step::Between);
        answer
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
