//! A job's position, in the same transaction as its rows.
//!
//! # How it works
//!
//! A job has one row in the table, with the run that works at it and the number of rows that it has
//! written. Each transaction begins by moving the row of its own run from the number before the
//! batch to the number after it. Both are committed together, or neither.
//!
//! - The statement changes nothing, and the row has the number after the batch: an earlier attempt
//!   was committed, and its reply was lost. So every batch may be retried.
//! - A `COMMIT` that is still on its way changes the same row. If another attempt or another run
//!   changes it first, the server refuses the `COMMIT` whenever it arrives.
//! - The row names another run: that one has begun later, and this one must end.
//!
//! This rests on [concurrency
//! control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html):
//! of two transactions that change the same row at the same time, one is committed.

use std::fmt;

use tokio_postgres::types::Type;

use crate::connection::Connection;
use crate::error::Error;
use crate::pool::Pool;
use crate::table_name::TableName;

/// A table with the position of each job, so that a run goes on where the last one was stopped.
///
/// Create it once, by [`CREATE_TABLE`](Self::CREATE_TABLE) or
/// [`create_table`](Self::create_table). A role other than `admin` needs `SELECT`, `INSERT` and
/// `UPDATE` on it. To run a job from its start again, delete its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checkpoints(TableName);

/// The position of a job that [`Checkpoints::start`] has begun, for
/// [`Run::checkpoint`](super::Run::checkpoint).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "`Run::checkpoint` takes it; without it the run records no position"]
pub struct Checkpoint {
    table: Checkpoints,
    job: String,
    run: String,
    position: Option<String>,
    rows: i64,
}

/// What a transaction does with its batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Write the rows.
    Moved,
    /// An earlier attempt was committed.
    WasApplied,
    /// Another run has begun the job, or its row was deleted.
    TakenOver,
}

impl Checkpoints {
    /// Creates the table that [`Checkpoints::default`] names, `dsql_checkpoints` in the search
    /// path.
    pub const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS \"dsql_checkpoints\" (job text \
                                    PRIMARY KEY, run text NOT NULL, position text, rows bigint \
                                    NOT NULL, at timestamptz NOT NULL)";

    /// Names a table that the search path finds. Any name is valid; it is quoted.
    pub const fn table(name: &'static str) -> Self {
        Self(TableName::new(name))
    }

    /// Names a table in a schema. Any name is valid; it is quoted.
    pub const fn in_schema(schema: &'static str, table: &'static str) -> Self {
        Self(TableName::in_schema(schema, table))
    }

    /// Returns the statement that creates the table.
    pub fn create_table(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {self} (job text PRIMARY KEY, run text NOT NULL, position \
             text, rows bigint NOT NULL, at timestamptz NOT NULL)"
        )
    }

    /// Begins a run of a job, and returns the job's position. A run of the same job that is still
    /// at work writes nothing more, and ends with
    /// [`BatchProblem::TakenOver`](super::BatchProblem::TakenOver).
    ///
    /// # Errors
    ///
    /// Those of [`Pool::transaction`]. [`Error::Query`] with the SQLSTATE `42P01` if the table does
    /// not exist.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn start(&self, pool: &Pool, job: &str) -> Result<Checkpoint, Error> {
        let run = format!("{:032x}", rand::random::<u128>());
        let start = format!(
            "INSERT INTO {self} (job, run, rows, at) VALUES ($1, $2, 0, now()) \
             ON CONFLICT (job) DO UPDATE SET run = excluded.run RETURNING position, rows"
        );
        let params = [(&job as _, Type::TEXT), (&run as _, Type::TEXT)];
        // A second run of the statement finds the row of the first, and changes nothing.
        let policy = pool.retry_policy().idempotent();
        let row = pool
            .transaction_with(policy, async |tx| tx.query_typed_one(&start, &params).await)
            .await?;
        Ok(Checkpoint {
            table: *self,
            job: job.to_owned(),
            position: row.try_get("position")?,
            rows: row.try_get("rows")?,
            run,
        })
    }
}

/// `dsql_checkpoints`, in the search path.
impl Default for Checkpoints {
    fn default() -> Self {
        Self::table("dsql_checkpoints")
    }
}

/// The quoted name of the table.
impl fmt::Display for Checkpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Checkpoint {
    /// Returns the name of the job.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// Returns the key of the last row that was committed, by any run of the job. `None` if the job
    /// is new.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Returns how many rows all runs of the job have committed.
    pub fn rows(&self) -> u64 {
        u64::try_from(self.rows).unwrap_or_default()
    }

    /// Moves the position in a batch's transaction, to `to`.
    pub(super) async fn move_to(&self, tx: &Connection, to: &Self) -> Result<Move, Error> {
        let Self {
            table, job, run, ..
        } = self;
        let update = format!(
            "UPDATE {table} SET position = $4, rows = $5, at = now() \
             WHERE job = $1 AND run = $2 AND rows = $3"
        );
        let params = [
            (job as _, Type::TEXT),
            (run as _, Type::TEXT),
            (&self.rows as _, Type::INT8),
            (&to.position as _, Type::TEXT),
            (&to.rows as _, Type::INT8),
        ];
        if tx.execute_typed(&update, &params).await? == 1 {
            return Ok(Move::Moved);
        }
        let select = format!("SELECT rows FROM {table} WHERE job = $1 AND run = $2");
        let row = tx.query_typed_opt(&select, &params[..2]).await?;
        match row.map(|row| row.try_get::<_, i64>(0)).transpose()? {
            Some(rows) if rows == to.rows => Ok(Move::WasApplied),
            _ => Ok(Move::TakenOver),
        }
    }

    /// The checkpoint behind so many more rows.
    pub(super) fn after(&self, rows: usize, last_key: &str) -> Self {
        Self {
            position: Some(last_key.to_owned()),
            rows: self.rows + i64::try_from(rows).unwrap_or(i64::MAX),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_statements_that_create_the_table_agree() {
        let table = Checkpoints::default();
        assert_eq!(Checkpoints::CREATE_TABLE, table.create_table());
        let table = Checkpoints::in_schema("games", "checkpoints");
        assert_eq!(table.to_string(), r#""games"."checkpoints""#);
    }
}
