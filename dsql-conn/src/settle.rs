//! Settles lost commits by the outcome table, and sweeps its old rows.
//!
//! # How it works
//!
//! A transaction inserts a row with a new ID before its `COMMIT`, in the same flight. The row
//! exists if and only if the transaction was committed.
//!
//! If the reply to `COMMIT` is lost, looking for the row is not enough: the `COMMIT` may still be
//! on its way to the server. So another transaction inserts a row with the same ID, a tombstone.
//! Both rows have the same primary key, so only one of the two transactions can commit:
//!
//! - The row of the transaction exists: the transaction was committed.
//! - The tombstone was inserted: the transaction can never commit any more, and may run again.
//!
//! This rests on two facts of the service: unique keys are enforced when transactions commit, also
//! between concurrent ones ([concurrency
//! control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html)),
//! and a committed row is visible to every transaction that begins later, in every Region of the
//! cluster ([strong
//! consistency](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/what-is-aurora-dsql.html)).

use std::time::Duration;

use tokio_postgres::types::Type;

use crate::connection::Connection;
use crate::error::{ConfigError, Error, RollbackCause};
use crate::outcomes::{Outcome, OutcomeId, Outcomes, TableProblem};
use crate::retry::{RetryPolicy, retry};
use crate::sqlstate::ServerError;

impl Outcomes {
    /// Determines the outcome of a transaction after [`Error::CommitUnknown`], by the ID in that
    /// error. If the transaction was not committed by then, it never will be.
    ///
    /// ```no_run
    /// use dsql_conn::{Error, Outcome, Outcomes, Pool};
    ///
    /// async fn is_saved(pool: &Pool, error: Error) -> Result<bool, Error> {
    ///     match error {
    ///         Error::CommitUnknown { id: Some(id), .. } => {
    ///             let outcome = Outcomes::default().settle(&*pool.get().await?, id).await?;
    ///             Ok(outcome == Outcome::Committed)
    ///         }
    ///         error => Err(error),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::OutcomeExpired`] if the ID is older than [`SETTLE_WITHIN`](Self::SETTLE_WITHIN).
    /// - [`Error::OutcomeTable`] if the table cannot be used.
    /// - [`Error::Query`] if the connection was lost or the server is unavailable: settle again, on
    ///   another connection.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped. Call this method again with the same ID.
    pub async fn settle(&self, connection: &Connection, id: OutcomeId) -> Result<Outcome, Error> {
        if id.age(connection.now().wall) > Self::SETTLE_WITHIN {
            return Err(Error::OutcomeExpired(id));
        }
        let key = id.to_string();
        let params = [(&key as _, Type::TEXT)];
        // The tombstone. A `COMMIT` that is applied at the same time conflicts with it.
        let insert = format!(
            "INSERT INTO {self} (id, committed, at) VALUES ($1::uuid, false, now()) \
             ON CONFLICT (id) DO NOTHING"
        );
        let select = format!("SELECT committed FROM {self} WHERE id = $1::uuid");
        let settled = retry(RetryPolicy::new().idempotent(), async || {
            if connection.execute_typed(&insert, &params).await? == 1 {
                return Ok(Outcome::RolledBack);
            }
            let row = connection.query_typed_opt(&select, &params).await?;
            match row.map(|row| row.try_get(0)).transpose()? {
                Some(true) => Ok(Outcome::Committed),
                Some(false) => Ok(Outcome::RolledBack),
                // The row was deleted in between, so nothing proves the outcome.
                None => Err(Error::OutcomeExpired(id)),
            }
        });
        settled.await.map_err(|error| self.explained(error))
    }

    /// Deletes the rows that are older than `age`, in transactions of at most 1,000 rows. Returns
    /// the number of deleted rows.
    ///
    /// Call it from a scheduled task, once a day for example. It reads the whole table.
    ///
    /// # Errors
    ///
    /// - [`Error::Config`] if `age` is less than [`MIN_SWEEP_AGE`](Self::MIN_SWEEP_AGE). Nothing
    ///   was deleted.
    /// - [`Error::OutcomeTable`] if the table cannot be used.
    /// - [`Error::Query`] if a deletion failed. Earlier ones stay.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped. Call this method again to delete the rest.
    pub async fn sweep(&self, connection: &Connection, age: Duration) -> Result<u64, Error> {
        if age < Self::MIN_SWEEP_AGE {
            return Err(ConfigError::Value {
                setting: "Outcomes::sweep",
                value: format!("{} s", age.as_secs()),
                expected: "at least Outcomes::MIN_SWEEP_AGE, 7,200 s",
            }
            .into());
        }
        let delete = format!(
            "DELETE FROM {self} WHERE id IN (SELECT id FROM {self} \
             WHERE at < now() - $1 * interval '1 second' LIMIT {SWEPT_AT_ONCE})"
        );
        let seconds = age.as_secs_f64();
        let params = [(&seconds as _, Type::FLOAT8)];
        let mut deleted = 0;
        loop {
            let rows = retry(RetryPolicy::new().idempotent(), async || {
                connection.execute_typed(&delete, &params).await
            });
            let rows = rows.await.map_err(|error| self.explained(error))?;
            deleted += rows;
            if rows < SWEPT_AT_ONCE {
                return Ok(deleted);
            }
        }
    }

    /// Returns the error of a transaction whose row was refused.
    pub(crate) fn refused(&self, error: ServerError) -> Error {
        match TableProblem::of(error.code()) {
            Some(_) => Error::OutcomeTable(*self, error),
            None => Error::RolledBack(RollbackCause::StatementFailed(error)),
        }
    }

    /// Recognises errors that the table's definition or privileges cause.
    fn explained(&self, error: Error) -> Error {
        match error.server_error() {
            Some(server) if TableProblem::of(server.code()).is_some() => {
                Error::OutcomeTable(*self, server)
            }
            _ => error,
        }
    }
}

/// A third of the rows that one transaction may change.
const SWEPT_AT_ONCE: u64 = 1_000;
