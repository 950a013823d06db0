//! The history: a table of the statements that were applied, and how the files differ from it.

mod compare;

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

impl History {
    pub(crate) fn new(schema: Option<String>, name: String) -> Self {
        Self {
            table: Name { schema, name },
        }
    }

    /// The table, as SQL has it.
    pub(crate) fn table(&self) -> String {
        self.table.to_string()
    }

    /// Reads all records. `None` if there is no table.
    pub(crate) async fn read(&self, client: &Client) -> Result<Option<Vec<Record>>, Error> {
        let query = format!(
            "SELECT name, statement, statements, sql, baseline FROM {}",
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
             applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (name, statement))",
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

    /// Returns whether a statement is recorded.
    pub(crate) async fn has(&self, client: &Client, statement: &Statement) -> Result<bool, Error> {
        let query = format!(
            "SELECT FROM {} WHERE name = $1 AND statement = $2",
            self.table
        );
        let place = &statement.place;
        let rows = client
            .query_typed(
                &query,
                &[
                    (&&*place.name, Type::TEXT),
                    (&number(place.statement), Type::INT4),
                ],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    /// Records a statement. Fails if it is recorded already, so that a transaction with it is
    /// applied once.
    pub(crate) async fn record(
        &self,
        client: &Client,
        migration: &Migration,
        statement: &Statement,
        is_baseline: bool,
    ) -> Result<(), Error> {
        let insert = format!(
            "INSERT INTO {} (name, statement, statements, sql, baseline) \
             VALUES ($1, $2, $3, $4, $5)",
            self.table
        );
        let place = &statement.place;
        client
            .query_typed(
                &insert,
                &[
                    (&&*place.name, Type::TEXT),
                    (&number(place.statement), Type::INT4),
                    (&number(migration.statements.len()), Type::INT4),
                    (&statement.sql, Type::TEXT),
                    (&is_baseline, Type::BOOL),
                ],
            )
            .await?;
        Ok(())
    }
}

fn number(number: usize) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
