//! Settles commits whose reply was lost, by a table of outcomes.
//!
//! # How it works
//!
//! A transaction inserts a row with a new ID before its `COMMIT`, in the same flight. The row
//! exists if and only if the transaction was committed.
//!
//! If the reply to `COMMIT` is lost, looking for the row is not enough: the `COMMIT` may still be
//! on its way to the server. So another transaction inserts a row with the same ID, a tombstone.
//! Both rows have the same primary key, so that only one of the two transactions can commit:
//!
//! - The row of the transaction is there: it was committed.
//! - The tombstone was inserted: the transaction can never commit any more, and may run again.
//!
//! This rests on two facts of the service: unique keys are enforced when transactions commit, also
//! between concurrent ones ([concurrency
//! control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html)),
//! and a committed row is visible to every transaction that begins later, in every Region of the
//! cluster ([strong
//! consistency](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/what-is-aurora-dsql.html)).

mod id;

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

pub use self::id::{InvalidOutcomeId, OutcomeId};
use crate::connection::Connection;
use crate::error::{ConfigError, Error, RollbackCause};
use crate::retry::{RetryPolicy, retry};
use crate::sqlstate::ServerError;

/// A table that records which transactions were committed, so that a `COMMIT` whose reply was lost
/// can be settled.
///
/// Create the table once, by [`Outcomes::CREATE_TABLE`] or [`Outcomes::create_table`], and name it
/// in the policy. [`Pool::transaction_with`](crate::Pool::transaction_with) then settles lost
/// commits by itself: it returns the body's value if the transaction was committed, and runs the
/// body again if not.
///
/// ```no_run
/// use dsql_conn::{Error, Outcomes, Pool, RetryPolicy};
///
/// const OUTCOMES: Outcomes = Outcomes::in_schema("games", "outcomes");
///
/// async fn create(pool: &Pool, title: &str) -> Result<i64, Error> {
///     let policy = RetryPolicy::new().outcomes(OUTCOMES);
///     pool.transaction_with(policy, async |tx| {
///         let insert = "INSERT INTO games.games (title) VALUES ($1) RETURNING id";
///         Ok(tx.query_one(insert, &[&title]).await?.get(0))
///     })
///     .await
/// }
/// ```
///
/// # Cost
///
/// One row for each transaction and no round trip: the row travels with the `COMMIT`. It counts
/// towards the [3,000
/// rows](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html) of a
/// transaction. A lost `COMMIT` costs one or two round trips on another connection. Delete old rows
/// by [`sweep`](Self::sweep).
///
/// A transaction that only reads needs no row: see [`RetryPolicy::read_only`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcomes {
    schema: Option<&'static str>,
    table: &'static str,
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All its writes were applied.
    Committed,
    /// None of its writes was applied, and none will be.
    RolledBack,
}

impl Outcomes {
    /// Creates the table that [`Outcomes::default`] names, `dsql_outcomes` in the search path.
    pub const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS \"dsql_outcomes\" (id uuid PRIMARY \
                                    KEY, committed boolean NOT NULL, at timestamptz NOT NULL)";

    /// How long a lost commit can be settled: 1 hour after its `COMMIT` was sent.
    ///
    /// Later the row may have been swept, and its absence would prove nothing.
    pub const SETTLE_WITHIN: Duration = Duration::from_secs(60 * 60);

    /// The age from which rows may be swept: 2 hours.
    ///
    /// A `COMMIT` can be on its way for 5 minutes, because the service ends a transaction that is
    /// [older](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html): until
    /// then its tombstone is needed. Its own row is needed for
    /// [`SETTLE_WITHIN`](Self::SETTLE_WITHIN). The rest allows for clocks that differ.
    pub const MIN_SWEEP_AGE: Duration = Duration::from_secs(2 * 60 * 60);

    /// Names a table that the search path finds. Any name is valid; it is quoted.
    pub const fn table(name: &'static str) -> Self {
        Self {
            schema: None,
            table: name,
        }
    }

    /// Names a table in a schema. Any name is valid; it is quoted.
    pub const fn in_schema(schema: &'static str, table: &'static str) -> Self {
        Self {
            schema: Some(schema),
            table,
        }
    }

    /// Returns the statement that creates the table.
    pub fn create_table(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {self} (id uuid PRIMARY KEY, committed boolean NOT NULL, \
             at timestamptz NOT NULL)"
        )
    }

    /// Finds out what became of a transaction whose outcome is unknown, by the ID of
    /// [`Error::CommitUnknown`]. If it was not committed, it never will be.
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
    /// May be dropped and called again with the same ID.
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
                // Deleted in between, so that nothing proves the outcome.
                None => Err(Error::OutcomeExpired(id)),
            }
        });
        settled.await.map_err(|error| self.explained(error))
    }

    /// Deletes the rows that are older than `age`, in transactions of at most 1,000 rows. Returns
    /// how many.
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
    /// May be dropped and called again.
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

    /// The statement that a transaction runs before its `COMMIT`.
    ///
    /// The ID is new, so that its conflict clause never applies. It makes the server refuse a table
    /// whose `id` is not unique, and NULL would be refused if the clause applied.
    pub(crate) fn insert(&self, id: OutcomeId) -> String {
        format!(
            "INSERT INTO {self} (id, committed, at) VALUES ('{id}', true, now()) \
             ON CONFLICT (id) DO UPDATE SET committed = NULL"
        )
    }

    /// The error of a transaction whose row was refused.
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

/// `dsql_outcomes`, in the search path.
impl Default for Outcomes {
    fn default() -> Self {
        Self::table("dsql_outcomes")
    }
}

/// The quoted name of the table.
impl fmt::Display for Outcomes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = self.schema {
            write!(f, "{}.", Quoted(schema))?;
        }
        Quoted(self.table).fmt(f)
    }
}

/// An identifier, quoted where SQL would read it otherwise.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // NUL ends a statement on the wire.
        let name = self.0.replace('\0', "").replace('"', "\"\"");
        write!(f, "\"{name}\"")
    }
}

/// What is wrong with an outcome table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableProblem {
    Missing,
    NotWritable,
    Shape,
}

impl TableProblem {
    pub(crate) fn of(code: &SqlState) -> Option<Self> {
        match *code {
            SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => Some(Self::Missing),
            SqlState::INSUFFICIENT_PRIVILEGE => Some(Self::NotWritable),
            // No column of that name or type, no unique key, or a constraint of the table's own.
            _ if ["42", "22", "23"].contains(&&code.code()[..2]) => Some(Self::Shape),
            _ => None,
        }
    }
}

/// A third of the rows that one transaction may change.
const SWEPT_AT_ONCE: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(Outcomes::CREATE_TABLE, Outcomes::default().create_table());
        let odd = Outcomes::in_schema("a\"b", "c\0d");
        assert_eq!(odd.to_string(), r#""a""b"."cd""#);
    }
}
