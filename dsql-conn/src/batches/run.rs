//! Writes rows batch by batch, as they come.

use std::error::Error as StdError;
use std::pin::Pin;
use std::{fmt, mem};

use futures_util::{Stream, StreamExt};

use super::batch::{Batch, BatchRow};
use super::checkpoint::{Checkpoint, Move};
use super::error::{BatchError, BatchProblem};
use super::progress::Progress;
use crate::error::Error;
use crate::pool::Pool;
use crate::retry::RetryPolicy;
use crate::transaction::Transaction;

/// Writes rows batch by batch. Made by [`Batches::write`](super::Batches::write); does nothing
/// until [`next`](Self::next) or [`finish`](Self::finish) is called.
#[must_use = "nothing is written until `next` or `finish` is called"]
pub struct Run<'a, R, F> {
    source: Source<'a, R>,
    writer: Writer<F>,
    progress: Progress,
    /// A batch has begun and has not ended.
    is_writing: bool,
}

/// Runs the transactions. Apart from the source, which need not be `Sync`.
struct Writer<F> {
    pool: Pool,
    policy: RetryPolicy,
    body: F,
    checkpoint: Option<Checkpoint>,
}

/// Rows as they come, cut into batches.
struct Source<'a, R> {
    rows: Rows<'a, R>,
    max_rows: usize,
    max_bytes: usize,
    /// The next batch.
    batch: Vec<R>,
    bytes: usize,
    /// A row that the batch had no room for.
    held: Option<(R, usize)>,
    rest: Rest,
}

/// What follows the rows that were taken.
enum Rest {
    More,
    Nothing,
    Failed(BatchProblem),
}

/// A batch before its transaction.
struct Next<R> {
    batch: Batch<R>,
    first_key: String,
    last_key: String,
    bytes: usize,
}

/// Why a batch's transaction was not committed.
enum Stop {
    Transaction(Error),
    Body(BoxError),
    TakenOver(String),
}

pub(super) type Rows<'a, R> = Pin<Box<dyn Stream<Item = Result<R, BoxError>> + Send + 'a>>;

type BoxError = Box<dyn StdError + Send + Sync>;

impl<'a, R, F, Fut> Run<'a, R, F>
where
    R: BatchRow,
    F: Fn(Transaction, Batch<R>) -> Fut,
    Fut: Future<Output = Result<(), BoxError>>,
{
    pub(super) fn new(
        pool: Pool,
        policy: RetryPolicy,
        (max_rows, max_bytes): (usize, usize),
        rows: Rows<'a, R>,
        body: F,
    ) -> Self {
        Self {
            source: Source {
                rows,
                max_rows,
                max_bytes,
                batch: Vec::new(),
                bytes: 0,
                held: None,
                rest: Rest::More,
            },
            writer: Writer {
                pool,
                policy,
                body,
                checkpoint: None,
            },
            progress: Progress::default(),
            is_writing: false,
        }
    }

    /// Records the position of a job in each batch's transaction. The rows must begin behind
    /// [`Checkpoint::position`].
    ///
    /// It settles commits whose reply was lost, so that the policy's
    /// [`outcomes`](RetryPolicy::outcomes) are not used.
    pub fn checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.writer.policy = self.writer.policy.idempotent();
        self.writer.policy.outcomes = None;
        self.writer.checkpoint = Some(checkpoint);
        self
    }

    /// Takes rows until a batch is full or the rows end, and writes it in a transaction. Returns
    /// what this run has committed, or `None` after the last batch or an error.
    ///
    /// # Errors
    ///
    /// [`BatchError`]. Rows that came before a failure of the source, or before a row that is too
    /// large, are committed first; the next call returns the error.
    ///
    /// # Cancel safety
    ///
    /// While it waits for rows, dropping the future loses nothing: the next call continues. Dropped
    /// during the transaction, the batch is rolled back, unless its `COMMIT` was in flight; the
    /// next call returns [`BatchProblem::Interrupted`].
    pub async fn next(&mut self) -> Result<Option<Progress>, BatchError> {
        if self.is_writing {
            return Err(self.failed(BatchProblem::Interrupted));
        }
        let Some(next) = self.source.next(self.progress.batches + 1).await else {
            return match mem::replace(&mut self.source.rest, Rest::Nothing) {
                Rest::Failed(problem) => Err(self.failed(problem)),
                Rest::More | Rest::Nothing => Ok(None),
            };
        };
        let rows = next.batch.len();
        self.is_writing = true;
        let written = self.writer.write(&next).await;
        self.is_writing = false;
        if let Err(stop) = written {
            self.source.rest = Rest::Nothing;
            self.source.held = None;
            return Err(self.failed(stop.problem(next)));
        }
        self.progress.batches += 1;
        self.progress.rows += rows as u64;
        self.progress.bytes += next.bytes as u64;
        self.progress.last_key = Some(next.last_key);
        Ok(Some(self.progress.clone()))
    }

    /// Writes all batches. Returns what this run has committed.
    ///
    /// # Errors
    ///
    /// Those of [`next`](Self::next).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future keeps the batches that were committed.
    pub async fn finish(mut self) -> Result<Progress, BatchError> {
        while self.next().await?.is_some() {}
        Ok(self.progress)
    }

    fn failed(&self, problem: BatchProblem) -> BatchError {
        BatchError {
            progress: self.progress.clone(),
            problem,
        }
    }
}

impl<F> Writer<F> {
    /// Runs the transaction of one batch, and moves the checkpoint behind it.
    async fn write<R, Fut>(&mut self, next: &Next<R>) -> Result<(), Stop>
    where
        F: Fn(Transaction, Batch<R>) -> Fut,
        Fut: Future<Output = Result<(), BoxError>>,
    {
        let Self {
            pool,
            policy,
            body,
            checkpoint,
        } = self;
        let after = checkpoint.as_ref();
        let after = after.map(|it| it.after(next.batch.len(), &next.last_key));
        let moved = checkpoint.as_ref().zip(after.as_ref());
        let written = pool.transaction_with(*policy, async |tx| {
            if let Some((checkpoint, after)) = moved {
                match checkpoint.move_to(&tx, after).await? {
                    Move::Moved => {}
                    Move::WasApplied => return Ok(()),
                    Move::TakenOver => return Err(Stop::TakenOver(checkpoint.job().to_owned())),
                }
            }
            body(tx, next.batch.clone()).await.map_err(Stop::Body)
        });
        written.await?;
        self.checkpoint = after;
        Ok(())
    }
}

impl<R: BatchRow> Source<'_, R> {
    /// Takes rows until a batch is full or the rows end. Keeps them if the future is dropped.
    async fn next(&mut self, number: u64) -> Option<Next<R>> {
        while self.batch.len() < self.max_rows {
            let (row, bytes) = match (self.held.take(), &self.rest) {
                (Some(held), _) => held,
                (None, Rest::More) => match self.rows.next().await {
                    Some(Ok(row)) => {
                        let bytes = row.bytes();
                        (row, bytes)
                    }
                    Some(Err(error)) => {
                        self.rest = Rest::Failed(BatchProblem::Rows(error));
                        break;
                    }
                    None => {
                        self.rest = Rest::Nothing;
                        break;
                    }
                },
                (None, Rest::Nothing | Rest::Failed(_)) => break,
            };
            if bytes > self.max_bytes {
                self.rest = Rest::Failed(BatchProblem::RowTooLarge {
                    key: row.key(),
                    bytes,
                    max_bytes: self.max_bytes,
                });
                break;
            }
            if bytes > self.max_bytes - self.bytes {
                self.held = Some((row, bytes));
                break;
            }
            self.bytes += bytes;
            self.batch.push(row);
        }
        let (first, last) = (self.batch.first()?.key(), self.batch.last()?.key());
        Some(Next {
            first_key: first,
            last_key: last,
            batch: Batch::new(number, mem::take(&mut self.batch)),
            bytes: mem::take(&mut self.bytes),
        })
    }
}

impl Stop {
    fn problem<R>(self, next: Next<R>) -> BatchProblem {
        let (error, may_have_applied) = match self {
            Self::TakenOver(job) => return BatchProblem::TakenOver { job },
            Self::Transaction(error) => {
                let is_unknown =
                    matches!(error, Error::CommitUnknown { .. } | Error::TransactionEnded);
                (error.into(), is_unknown)
            }
            Self::Body(error) => (error, false),
        };
        BatchProblem::Failed {
            first_key: next.first_key,
            last_key: next.last_key,
            rows: next.batch.len(),
            bytes: next.bytes,
            error,
            may_have_applied,
        }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Transaction(error)
    }
}

impl<R, F> fmt::Debug for Run<'_, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("policy", &self.writer.policy)
            .field("checkpoint", &self.writer.checkpoint)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}
