//! Reads the effects of statements from the catalog and `sys.jobs`.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error};

use crate::name::{Name, quoted};
use crate::statement::{Effect, Index};

/// An index in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IndexState {
    Absent,
    Valid,
    /// The index is being built, or its build failed. Contains its name, quoted for SQL.
    Invalid(String),
}

/// Returns whether the catalog has the effect of a statement.
pub(crate) async fn has(client: &Client, effect: &Effect) -> Result<bool, Error> {
    let (query, names): (&str, Vec<Option<&str>>) = match effect {
        Effect::Constraint { table, constraint } => {
            let constraint = constraint_state(client, table, constraint);
            return Ok(constraint.await?.is_some());
        }
        Effect::RenamedColumn { table, column } => (
            "SELECT FROM pg_attribute
             JOIN pg_class ON pg_class.oid = attrelid
             JOIN pg_namespace ON pg_namespace.oid = relnamespace
             WHERE (nspname = $1 OR $1 IS NULL AND pg_table_is_visible(pg_class.oid))
                 AND relname = $2 AND attname = $3 AND NOT attisdropped",
            vec![table.schema.as_deref(), Some(&table.name), Some(column)],
        ),
        Effect::Role(role) => ("SELECT FROM pg_roles WHERE rolname = $1", vec![Some(role)]),
        Effect::Schema(schema) => (
            "SELECT FROM pg_namespace WHERE nspname = $1",
            vec![Some(schema)],
        ),
        Effect::Domain(domain) => (
            "SELECT FROM pg_type
             JOIN pg_namespace ON pg_namespace.oid = typnamespace
             WHERE (nspname = $1 OR $1 IS NULL AND pg_type_is_visible(pg_type.oid))
                 AND typname = $2 AND typtype = 'd'",
            vec![domain.schema.as_deref(), Some(&domain.name)],
        ),
        Effect::Trust { role, arn } | Effect::NoTrust { role, arn } => (
            "SELECT FROM sys.iam_pg_role_mappings WHERE pg_role_name = $1 AND arn = $2",
            vec![Some(role), Some(arn)],
        ),
    };
    let names: Vec<_> = names.iter().map(|name| (name as _, Type::TEXT)).collect();
    let is_there = !client.query_typed(query, &names).await?.is_empty();
    Ok(is_there != matches!(effect, Effect::NoTrust { .. }))
}

/// Returns whether a constraint is validated, if it exists.
pub(crate) async fn constraint_state(
    client: &Client,
    table: &Name,
    constraint: &str,
) -> Result<Option<bool>, Error> {
    let query = "SELECT convalidated FROM pg_constraint
                 JOIN pg_class ON pg_class.oid = conrelid
                 JOIN pg_namespace ON pg_namespace.oid = relnamespace
                 WHERE (nspname = $1 OR $1 IS NULL AND pg_table_is_visible(pg_class.oid))
                     AND relname = $2 AND conname = $3";
    let names = [
        (&table.schema as _, Type::TEXT),
        (&table.name as _, Type::TEXT),
        (&constraint as _, Type::TEXT),
    ];
    let rows = client.query_typed(query, &names).await?;
    rows.first().map(|row| row.try_get(0)).transpose()
}

/// Returns the state of an index.
pub(crate) async fn index_state(client: &Client, index: &Index) -> Result<IndexState, Error> {
    let Index { name, table } = index;
    let query = "SELECT nspname::text, indisvalid FROM pg_index
                 JOIN pg_class AS i ON i.oid = indexrelid
                 JOIN pg_class AS t ON t.oid = indrelid
                 JOIN pg_namespace ON pg_namespace.oid = i.relnamespace
                 WHERE (nspname = $1 OR $1 IS NULL AND pg_table_is_visible(t.oid))
                     AND t.relname = $2 AND i.relname = $3";
    let names = [
        (&table.schema as _, Type::TEXT),
        (&table.name as _, Type::TEXT),
        (name as _, Type::TEXT),
    ];
    let rows = client.query_typed(query, &names).await?;
    let Some(row) = rows.first() else {
        return Ok(IndexState::Absent);
    };
    let schema: String = row.try_get(0)?;
    Ok(match row.try_get(1)? {
        true => IndexState::Valid,
        false => IndexState::Invalid(format!("{}.{}", quoted(&schema), quoted(name))),
    })
}

/// Returns the jobs that have not ended. Unknown states count as not ended.
pub(crate) async fn running_jobs(client: &Client) -> Result<Vec<String>, Error> {
    let query = "SELECT job_id::text FROM sys.jobs
                 WHERE status NOT IN ('completed', 'failed', 'cancelled')";
    let rows = client.query_typed(query, &[]).await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Returns the details of a job in `sys.jobs`.
pub(crate) async fn job_details(client: &Client, job: &str) -> Result<String, Error> {
    let query = "SELECT details::text FROM sys.jobs WHERE job_id = $1";
    let rows = client.query_typed(query, &[(&job, Type::TEXT)]).await?;
    let details = rows.first().map(|row| row.try_get::<_, Option<String>>(0));
    let details = details.transpose()?.flatten();
    Ok(details.unwrap_or_else(|| format!("job {job}, no details")))
}
