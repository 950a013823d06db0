//! Writes many rows in transactions that are small enough for the service.
//!
//! A transaction may change [3,000 rows and 10
//! MiB](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html), so that an
//! import needs many of them. [`Batches`] takes rows from an iterator or a stream, cuts them into
//! batches, and runs a body in a transaction for each batch. [`Checkpoints`] record in the same
//! transaction how far a job has come, so that a run that was killed goes on at the first row that
//! is not committed.
//!
//! ```no_run
//! use dsql_conn::Pool;
//! use dsql_conn::batches::{BatchError, BatchRow, Batches};
//!
//! struct Game {
//!     id: i64,
//!     title: String,
//! }
//!
//! impl BatchRow for Game {
//!     fn key(&self) -> String {
//!         self.id.to_string()
//!     }
//!
//!     fn bytes(&self) -> usize {
//!         8 + self.title.len()
//!     }
//! }
//!
//! async fn import(pool: &Pool, games: Vec<Game>) -> Result<(), BatchError> {
//!     const INSERT: &str = "INSERT INTO games (id, title) SELECT * FROM unnest($1::int8[], \
//!                           $2::text[])";
//!     let rows = games.into_iter().map(Ok);
//!     let mut run = Batches::new().write(pool, rows, async |tx, games| {
//!         let ids: Vec<i64> = games.iter().map(|game| game.id).collect();
//!         let titles: Vec<&str> = games.iter().map(|game| &*game.title).collect();
//!         tx.execute(INSERT, &[&ids, &titles]).await?;
//!         Ok(())
//!     });
//!     while let Some(progress) = run.next().await? {
//!         println!("{progress}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! The guide's page on batches says what this guarantees and what it does not.

mod batch;
mod checkpoint;
mod error;
mod progress;
mod run;

use std::error::Error as StdError;

pub use futures_util::Stream;
use futures_util::stream;

pub use self::batch::{Batch, BatchRow};
pub use self::checkpoint::{Checkpoint, Checkpoints};
pub use self::error::{BatchError, BatchProblem};
pub use self::progress::Progress;
pub use self::run::Run;
use crate::pool::Pool;
use crate::retry::RetryPolicy;
use crate::transaction::Transaction;

/// The limits of a batch. All values are valid.
///
/// ```
/// use dsql_conn::batches::Batches;
///
/// const BATCHES: Batches = Batches::new().max_rows(500).max_bytes(1024 * 1024);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    max_rows: usize,
    max_bytes: usize,
    retry_policy: Option<RetryPolicy>,
}

impl Batches {
    /// Starts from the defaults that the setters state.
    pub const fn new() -> Self {
        Self {
            max_rows: 1_000,
            max_bytes: 4 * 1024 * 1024,
            retry_policy: None,
        }
    }

    /// Sets the maximum number of rows of a batch. Defaults to 1,000; 0 counts as 1.
    ///
    /// The service allows a transaction to change [3,000
    /// rows](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html) of tables.
    /// Count what the body changes for each row in all tables. A [`Checkpoint`] and a row of
    /// [`Outcomes`](crate::Outcomes) are one each.
    #[must_use]
    pub const fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = if rows == 0 { 1 } else { rows };
        self
    }

    /// Sets the maximum size of a batch, as the sum of [`BatchRow::bytes`]. Defaults to 4 MiB.
    ///
    /// The service allows [10
    /// MiB](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html) for all data
    /// that a transaction changes, index entries included. A message to the server, such as one
    /// statement with all rows, may have 10 MiB as well.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the retry policy of each batch's transaction. Defaults to the pool's
    /// [`retry_policy`](crate::Builder::retry_policy).
    ///
    /// Its attempts and its timeout begin anew with each batch.
    #[must_use]
    pub const fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry_policy = Some(policy);
        self
    }

    /// Writes the rows of an iterator: `body` runs in a transaction for each batch, one after the
    /// other, in the order of the rows. Nothing happens until [`Run::next`] or [`Run::finish`] is
    /// called.
    ///
    /// `body` may run several times for the same batch, like that of [`Pool::transaction`].
    ///
    /// An `Err` of the iterator ends the run after the rows before it were committed. An iterator
    /// that cannot fail needs `.map(Ok)`. One that waits, for a disk or a network, blocks the
    /// runtime's thread: make it a stream.
    pub fn write<'a, R, I, F, Fut>(&self, pool: &Pool, rows: I, body: F) -> Run<'a, R, F>
    where
        R: BatchRow,
        I: IntoIterator<Item = Result<R, Box<dyn StdError + Send + Sync>>>,
        I::IntoIter: Send + 'a,
        F: Fn(Transaction, Batch<R>) -> Fut,
        Fut: Future<Output = Result<(), Box<dyn StdError + Send + Sync>>>,
    {
        self.write_stream(pool, stream::iter(rows), body)
    }

    /// Writes the rows of a stream, like [`write`](Self::write). Rows are taken while a batch is
    /// filled, and not while it is written.
    pub fn write_stream<'a, R, S, F, Fut>(&self, pool: &Pool, rows: S, body: F) -> Run<'a, R, F>
    where
        R: BatchRow,
        S: Stream<Item = Result<R, Box<dyn StdError + Send + Sync>>> + Send + 'a,
        F: Fn(Transaction, Batch<R>) -> Fut,
        Fut: Future<Output = Result<(), Box<dyn StdError + Send + Sync>>>,
    {
        let limits = (self.max_rows, self.max_bytes);
        let policy = self.retry_policy.unwrap_or_else(|| pool.retry_policy());
        Run::new(pool.clone(), policy, limits, Box::pin(rows), body)
    }
}

impl Default for Batches {
    fn default() -> Self {
        Self::new()
    }
}
