//! The rows of one transaction.

use std::fmt;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;

/// A row that [`Batches`](super::Batches) write.
///
/// For a type of another crate, such as [`tokio_postgres::Row`], write a type around it.
pub trait BatchRow {
    /// Returns the key by which the source of the rows can start behind this row.
    ///
    /// Errors, [`Progress`](super::Progress) and [`Checkpoint`](super::Checkpoint) name it, so that
    /// it also appears in logs.
    fn key(&self) -> String;

    /// Returns about how many bytes the row adds to its transaction: the sum of its columns, and of
    /// the columns of each index.
    fn bytes(&self) -> usize;
}

/// The rows of one transaction, in their order. Derefs to a slice. Cheap to clone, because the body
/// of a transaction can run several times.
pub struct Batch<R> {
    number: u64,
    rows: Arc<[R]>,
}

impl<R> Batch<R> {
    pub(super) fn new(number: u64, rows: Vec<R>) -> Self {
        Self {
            number,
            rows: rows.into(),
        }
    }

    /// Returns the number of the batch in its run, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl<R> Deref for Batch<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.rows
    }
}

impl<'a, R> IntoIterator for &'a Batch<R> {
    type Item = &'a R;
    type IntoIter = slice::Iter<'a, R>;

    fn into_iter(self) -> slice::Iter<'a, R> {
        self.rows.iter()
    }
}

impl<R> Clone for Batch<R> {
    fn clone(&self) -> Self {
        Self {
            number: self.number,
            rows: Arc::clone(&self.rows),
        }
    }
}

/// Tells how many rows there are, and not what is in them.
impl<R> fmt::Debug for Batch<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("number", &self.number)
            .field("rows", &self.rows.len())
            .finish()
    }
}
