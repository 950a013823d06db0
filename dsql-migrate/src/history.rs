//! The history: a table of the applied statements, and the comparison of the files with it.

mod compare;

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

pub(crate) use self::compare::{Comparison, compare};
use crate::migration::{Migration, Statement};
use crate::name::{Name, quoted};

/// The table of the history.
#[derive(Debug, Clone)]
pub(crate) struct History {
    table: Name,
}

/// A statement that was applied.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) name: String,
    /// From 1.
    pub(crate) statement: usize,
    /// How many statements the file had then.
    pub(crate) statements: usize,
    pub(crate) sql: String,
    pub(crate) is_baseline: bool,
}

/// A run's claim on a statement, so that one migrator at a time runs a statement.
///
/// Claims only avoid conflicts; correctness does not depend on them. A claim expires, because its
/// owner may be dead. If the owner was only slow, it meets conflicts instead.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) owner: String,
    pub(crate) expires_after: Duration,
}

/// Which migrator may apply a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Ours,
    Theirs,
    /// The statement was applied.
    Recorded,
}

impl History {
    pub(crate) fn new(schema: Option<String>, name: String) -> Self {
        Self {
            table: Name { schema, name },
        }
    }

    /// Returns the table's name, quoted for SQL.
    pub(crate) fn table(&self) -> String {
        self.table.to_string()
    }

    /// Reads all records. `None` if there is no table.
    pub(crate) async fn read(&self, client: &Client) -> Result<Option<Vec<Record>>, Error> {
        let query = format!(
            "SELECT name, statement, statements, sql, baseline FROM {} WHERE claim IS NULL",
            self.table
        );
        let rows = match client.query_typed(&query, &[]).await {
            Ok(rows) => rows,
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
            Err(error) => return Err(error),
        };
        let number = |number: i32| usize::try_from(number).unwrap_or_default();
        let records = rows.iter().map(|row| {
            Ok(Record {
                name: row.try_get(0)?,
                statement: number(row.try_get(1)?),
                statements: number(row.try_get(2)?),
                sql: row.try_get(3)?,
                is_baseline: row.try_get(4)?,
            })
        });
        records.collect::<Result<_, Error>>().map(Some)
    }

    /// Creates the table, and its schema if that is missing.
    pub(crate) async fn create(&self, client: &Client) -> Result<(), Error> {
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {} (name text NOT NULL, statement integer NOT NULL, \
             statements integer NOT NULL, sql text NOT NULL, baseline boolean NOT NULL, \
             claim text, applied_at timestamptz NOT NULL DEFAULT now(), \
             PRIMARY KEY (name, statement))",
            self.table
        );
        let created = client.query_typed(&create, &[]).await;
        let is_missing = |error: &Error| error.code() == Some(&SqlState::INVALID_SCHEMA_NAME);
        match (&self.table.schema, created) {
            (Some(schema), Err(error)) if is_missing(&error) => {
                let schema = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
                client.query_typed(&schema, &[]).await?;
                client.query_typed(&create, &[]).await?;
            }
            (_, created) => drop(created?),
        }
        Ok(())
    }

    /// Returns which migrator may apply a statement.
    pub(crate) async fn turn(
        &self,
        client: &Client,
        statement: &Statement,
        claim: &Claim,
    ) -> Result<Turn, Error> {
        let query = format!(
            "SELECT claim, applied_at < now() - $3 * interval '1 second' FROM {} \
             WHERE name = $1 AND statement = $2",
            self.table
        );
        let place = &statement.place;
        let params = [
            (&&*place.name as _, Type::TEXT),
            (&number(place.statement) as _, Type::INT4),
            (&claim.expires_after.as_secs_f64() as _, Type::FLOAT8),
        ];
        let rows = client.query_typed(&query, &params).await?;
        let Some(row) = rows.first() else {
            return Ok(Turn::Ours);
        };
        let (owner, is_expired): (Option<String>, bool) = (row.try_get(0)?, row.try_get(1)?);
        Ok(match owner {
            None => Turn::Recorded,
            Some(owner) if is_expired || owner == claim.owner => Turn::Ours,
            Some(_) => Turn::Theirs,
        })
    }

    /// Claims a statement. Returns `false` if another migrator was faster.
    pub(crate) async fn claim(
        &self,
        client: &Client,
        migration: &Migration,
        statement: &Statement,
        claim: &Claim,
    ) -> Result<bool, Error> {
        let insert = format!(
            "INSERT INTO {table} AS h (name, statement, statements, sql, baseline, claim) \
             VALUES ($1, $2, $3, $4, false, $5) ON CONFLICT (name, statement) DO UPDATE \
             SET claim = EXCLUDED.claim, applied_at = now() WHERE h.claim = $5 \
             OR h.applied_at < now() - $6 * interval '1 second' AND h.claim IS NOT NULL \
             RETURNING name",
            table = self.table
        );
        let params = [
            (&&*statement.place.name as _, Type::TEXT),
            (&number(statement.place.statement) as _, Type::INT4),
            (&number(migration.statements.len()) as _, Type::INT4),
            (&statement.sql as _, Type::TEXT),
            (&claim.owner as _, Type::TEXT),
            (&claim.expires_after.as_secs_f64() as _, Type::FLOAT8),
        ];
        Ok(!client.query_typed(&insert, &params).await?.is_empty())
    }

    /// Releases a claim.
    pub(crate) async fn release(
        &self,
        client: &Client,
        statement: &Statement,
        claim: &Claim,
    ) -> Result<(), Error> {
        let delete = format!(
            "DELETE FROM {} WHERE name = $1 AND statement = $2 AND claim = $3",
            self.table
        );
        let params = [
            (&&*statement.place.name as _, Type::TEXT),
            (&number(statement.place.statement) as _, Type::INT4),
            (&claim.owner as _, Type::TEXT),
        ];
        client.query_typed(&delete, &params).await.map(drop)
    }

    /// Records a statement. Returns `false` if it was recorded before.
    pub(crate) async fn record(
        &self,
        client: &Client,
        migration: &Migration,
        statement: &Statement,
        is_baseline: bool,
    ) -> Result<bool, Error> {
        let insert = format!(
            "INSERT INTO {table} AS h (name, statement, statements, sql, baseline) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name, statement) DO UPDATE \
             SET statements = EXCLUDED.statements, sql = EXCLUDED.sql, \
             baseline = EXCLUDED.baseline, claim = NULL, applied_at = now() \
             WHERE h.claim IS NOT NULL RETURNING name",
            table = self.table
        );
        let params = [
            (&&*statement.place.name as _, Type::TEXT),
            (&number(statement.place.statement) as _, Type::INT4),
            (&number(migration.statements.len()) as _, Type::INT4),
            (&statement.sql as _, Type::TEXT),
            (&is_baseline as _, Type::BOOL),
        ];
        Ok(!client.query_typed(&insert, &params).await?.is_empty())
    }
}

fn number(number: usize) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
