//! Transactions that append to lists and read lists, recorded for the isolation checker.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dsql_conn::{Connection, Error, Pool, RetryPolicy};
use dsql_local::LocalCluster;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::bank::OUTCOMES;
use crate::isolation::{Attempt, Op};
use crate::journal::{CallResult, Outcome};
use crate::retries::Runs;
use crate::settle::settled;

/// The lists that all workers share, and the order of what happens to them.
#[derive(Debug)]
pub(crate) struct Lists {
    /// How often each place was drawn for an append.
    places: Vec<AtomicI64>,
    items: AtomicI64,
    time: AtomicU64,
}

/// One transaction on lists.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) lists: &'a Lists,
    pub(crate) runs: Runs<'a>,
    pub(crate) steps: Vec<Step>,
    pub(crate) is_recorded: bool,
}

/// An operation that a transaction must do.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Read(i64),
    Append(i64),
}

/// The attempts of a transaction until now.
struct Attempts<'a> {
    lists: &'a Lists,
    all: Mutex<Vec<Attempt>>,
}

impl Lists {
    /// Shares a number of lists at a time.
    pub(crate) fn new(places: i64) -> Self {
        Self {
            places: (0..places).map(|_| AtomicI64::new(0)).collect(),
            items: AtomicI64::new(0),
            time: AtomicU64::new(0),
        }
    }

    /// Draws the operations of a transaction.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> Vec<Step> {
        let steps = rng.random_range(1..=MOST_STEPS);
        let step = |_| {
            let place = rng.random_range(0..self.places.len());
            let appends = rng.random();
            let drawn = self.places[place].fetch_add(i64::from(appends), Ordering::Relaxed);
            // A list that is long enough is succeeded by a new one, so that reads stay short.
            let list = place as i64 + drawn / MOST_ITEMS * self.places.len() as i64;
            match appends {
                true => Step::Append(list),
                false => Step::Read(list),
            }
        };
        (0..steps).map(step).collect()
    }

    /// Reads all lists without the tested path, as one transaction at the end. Lists that were
    /// appended to and are missing are empty.
    ///
    /// # Errors
    ///
    /// PostgreSQL's error.
    pub(crate) async fn read_all(
        &self,
        cluster: &LocalCluster,
        attempts: &[Attempt],
    ) -> Result<Attempt, dsql_conn::tokio_postgres::Error> {
        let mut lists: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for op in attempts.iter().flat_map(|attempt| &attempt.ops) {
            if let Op::Append { list, .. } = op {
                lists.entry(*list).or_default();
            }
        }
        let began = self.tick();
        for row in cluster.query("SELECT key, items FROM list").await? {
            let [Some(key), Some(items)] = &row[..] else {
                unreachable!("both columns are NOT NULL");
            };
            let key = key.parse().expect("a bigint");
            lists.insert(key, parsed(items));
        }
        let ops = lists.into_iter();
        Ok(Attempt {
            began,
            ended: self.tick(),
            outcome: Outcome::Committed,
            ops: ops.map(|(list, items)| Op::Read { list, items }).collect(),
        })
    }

    /// The next point in time.
    fn tick(&self) -> u64 {
        self.time.fetch_add(1, Ordering::SeqCst)
    }
}

impl Visit<'_> {
    /// Runs the transaction. Returns the answer and its attempts.
    pub(crate) async fn make(&self) -> (CallResult, Vec<Attempt>) {
        let policy = match self.is_recorded {
            true => RetryPolicy::new().outcomes(OUTCOMES),
            false => RetryPolicy::new(),
        };
        let attempts = Attempts {
            lists: self.lists,
            all: Mutex::default(),
        };
        let began = self.lists.tick();
        let result = self
            .pool
            .transaction_with(policy, async |tx| {
                let attempt = attempts.begin(began);
                let body = self.run(&tx, &attempts, attempt);
                self.runs.run(body).await
            })
            .await;
        let answer = settled(self.pool, &result).await;
        (answer.clone(), attempts.finished(answer.outcome))
    }

    async fn run(
        &self,
        connection: &Connection,
        attempts: &Attempts<'_>,
        attempt: usize,
    ) -> Result<(), Error> {
        for step in &self.steps {
            match *step {
                Step::Read(list) => {
                    let row = connection.query_opt(READ, &[&list]).await?;
                    let items = row.map(|row| parsed(row.get(0))).unwrap_or_default();
                    attempts.note(attempt, Op::Read { list, items });
                }
                Step::Append(list) => {
                    let item = self.lists.items.fetch_add(1, Ordering::Relaxed);
                    attempts.note(attempt, Op::Append { list, item });
                    connection
                        .execute(APPEND, &[&list, &item.to_string()])
                        .await?;
                }
            }
        }
        Ok(())
    }
}

impl Attempts<'_> {
    /// Begins an attempt and returns its number.
    fn begin(&self, first: u64) -> usize {
        let mut all = self.all();
        // `BEGIN` may have been sent before the body runs: the end of the attempt before is the
        // last time that was certainly earlier.
        let began = all.last().map_or(first, |attempt| attempt.ended);
        all.push(Attempt {
            began,
            // Before its `COMMIT`.
            ended: self.lists.tick(),
            outcome: Outcome::NotCommitted,
            ops: Vec::new(),
        });
        all.len() - 1
    }

    fn note(&self, attempt: usize, op: Op) {
        self.all()[attempt].ops.push(op);
    }

    /// Returns the attempts, of which only the last can be committed.
    fn finished(self, outcome: Outcome) -> Vec<Attempt> {
        let mut all = self
            .all
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = all.last_mut() {
            last.outcome = outcome;
            last.ended = self.lists.tick();
        }
        all
    }

    fn all(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parsed(items: &str) -> Vec<i64> {
    let items = items.split(SEPARATOR);
    items.map(|item| item.parse().expect("an item")).collect()
}

const READ: &str = "SELECT items FROM list WHERE key = $1";
/// The service has no arrays as columns.
const APPEND: &str = "INSERT INTO list (key, items) VALUES ($1, $2) \
     ON CONFLICT (key) DO UPDATE SET items = list.items || ',' || excluded.items";
const SEPARATOR: char = ',';
const MOST_STEPS: usize = 5;
const MOST_ITEMS: i64 = 24;
