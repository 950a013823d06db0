//! A worker: one transfer after the other, each in a manner of its own, and a journal of what it
//! was told.

use std::sync::Arc;
use std::time::Duration;

use dsql_conn::Pool;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::bank::{Opening, Transfer};
use crate::floor::{Floor, Step};
use crate::journal::{Entry, Told};
use crate::manner::{Call, Manner};
use crate::retries::{Retries, Runs};

/// What a worker needs.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) pool: Pool,
    pub(crate) opening: Opening,
    pub(crate) seed: u64,
    pub(crate) floor: Arc<Floor>,
    pub(crate) retries: Arc<Retries>,
}

impl Worker {
    /// Works until the floor closes, and returns the journal.
    pub(crate) async fn work(self) -> Vec<Entry> {
        let mut rng = StdRng::seed_from_u64(self.seed.wrapping_add(self.number as u64));
        let mut journal = Vec::new();
        let stand = self.floor.stand(self.number);
        // The upper half of the number is the worker's.
        let first = (self.number as i64) << 32;
        for id in first.. {
            if self.floor.is_closing() {
                break;
            }
            let manner = Manner::draw(&mut rng);
            let transfer = self.draw(id, manner, &mut rng);
            stand.takes(id, manner.name());
            let call = Call {
                pool: &self.pool,
                transfer: &transfer,
                runs: Runs::of(&self.retries, stand),
                patience: Duration::from_micros(rng.random_range(0..30_000)),
            };
            let answer = call.make(manner).await;
            self.floor.answered(answer.told == Told::Committed);
            stand.at(Step::Between);
            journal.push(Entry {
                transfer,
                manner: manner.name(),
                answer,
            });
        }
        journal
    }

    fn draw(&self, id: i64, manner: Manner, rng: &mut StdRng) -> Transfer {
        let accounts = self.opening.accounts;
        let from = rng.random_range(1..=accounts);
        let others = rng.random_range(1..accounts);
        let amount = rng.random_range(1..=100);
        Transfer {
            id,
            from,
            to: (from + others - 1) % accounts + 1,
            amount: if manner.moves_money() { amount } else { 0 },
        }
    }
}
