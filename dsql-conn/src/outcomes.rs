//! The outcome table, which settles lost commits: see `settle`.

mod id;

use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;

pub use self::id::{InvalidOutcomeId, OutcomeId};
use crate::table_name::TableName;

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
/// transaction. Settling a lost `COMMIT` costs one or two round trips on another connection. Delete
/// old rows by [`sweep`](Self::sweep).
///
/// A transaction that only reads needs no row: see
/// [`RetryPolicy::read_only`](crate::RetryPolicy::read_only).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcomes(TableName);

/// The outcome of a transaction.
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
    /// After that the row may have been swept, so its absence would prove nothing.
    pub const SETTLE_WITHIN: Duration = Duration::from_secs(60 * 60);

    /// The age from which rows may be swept: 2 hours.
    ///
    /// A `COMMIT` can arrive up to 5 minutes late, because the service ends a transaction that is
    /// [older](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html). Until
    /// then its tombstone is needed. The transaction's own row is needed for
    /// [`SETTLE_WITHIN`](Self::SETTLE_WITHIN). The rest allows for clocks that differ.
    pub const MIN_SWEEP_AGE: Duration = Duration::from_secs(2 * 60 * 60);

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
            "CREATE TABLE IF NOT EXISTS {self} (id uuid PRIMARY KEY, committed boolean NOT NULL, \
             at timestamptz NOT NULL)"
        )
    }

    /// Returns the statement that a transaction runs before its `COMMIT`.
    ///
    /// The ID is new, so the conflict clause never applies. The clause makes the server refuse a
    /// table whose `id` is not unique. If the clause did apply, the server would refuse its NULL.
    pub(crate) fn insert(&self, id: OutcomeId) -> String {
        format!(
            "INSERT INTO {self} (id, committed, at) VALUES ('{id}', true, now()) \
             ON CONFLICT (id) DO UPDATE SET committed = NULL"
        )
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
        self.0.fmt(f)
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
            _ => ["42", "22", "23"]
                .iter()
                .any(|class| code.code().starts_with(class))
                .then_some(Self::Shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_statements_that_create_the_table_agree() {
        assert_eq!(Outcomes::CREATE_TABLE, Outcomes::default().create_table());
    }

    #[test]
    fn any_sqlstate_of_the_server_is_read() {
        for (code, problem) in [
            ("42703", Some(TableProblem::Shape)),
            ("42", Some(TableProblem::Shape)),
            ("4", None),
            ("", None),
            ("a\u{20ac}", None),
        ] {
            assert_eq!(TableProblem::of(&SqlState::from_code(code)), problem);
        }
    }
}
