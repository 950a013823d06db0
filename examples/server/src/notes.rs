//! The notes: their table, and the requests that read and write it.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dsql_conn::{Error, Outcomes, Pool, RetryPolicy, retry};
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::failure::Failure;

/// A note, as it is stored and sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Chosen by the server.
    pub id: Uuid,
    /// Unique among the notes.
    pub title: String,
}

/// The body of a request that creates a note.
#[derive(Debug, Deserialize)]
pub struct NewNote {
    title: String,
}

/// Creates the tables, unless they exist.
///
/// A statement that changes the schema cannot share a transaction with the row that would record
/// its outcome. `IF NOT EXISTS` makes it safe to repeat instead, after a lost connection and beside
/// other servers that start at the same time.
///
/// # Errors
///
/// The cluster's refusal.
///
/// # Cancel safety
///
/// A statement that was sent runs to its end.
pub async fn create_tables(pool: &Pool) -> Result<(), Error> {
    retry(RetryPolicy::new().idempotent(), async || {
        let mut connection = pool.get().await?;
        for statement in [CREATE_TABLE, &OUTCOMES.create_table()] {
            match connection.execute_ddl(statement).await {
                // Another server created it at the same time: the catalog's own constraint, as
                // dsql-local reports it. It is not known whether the service does, too.
                Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                    connection.execute_ddl(statement).await?;
                }
                done => drop(done?),
            }
        }
        Ok(())
    })
    .await
}

/// `POST /notes`. The outcome table tells whether the note was saved if the reply to `COMMIT` is
/// lost, so that no note is saved twice.
pub(crate) async fn create(
    State(pool): State<Pool>,
    Json(NewNote { title }): Json<NewNote>,
) -> Result<(StatusCode, Json<Note>), Failure> {
    if title.is_empty() || title.len() > LONGEST_TITLE {
        return Err(Failure::Title);
    }
    let note = Note {
        id: Uuid::new_v4(),
        title,
    };
    let policy = RetryPolicy::new().outcomes(OUTCOMES);
    pool.transaction_with(policy, async |tx| {
        let insert = "INSERT INTO notes (id, title) VALUES ($1, $2)";
        let values = [(&note.id as _, Type::UUID), (&note.title as _, Type::TEXT)];
        tx.execute_typed(insert, &values).await
    })
    .await?;
    Ok((StatusCode::CREATED, Json(note)))
}

/// `GET /notes`: the first hundred, by title.
pub(crate) async fn list(State(pool): State<Pool>) -> Result<Json<Vec<Note>>, Failure> {
    let select = "SELECT id, title FROM notes ORDER BY title LIMIT 100";
    let rows = retry(READS, async || {
        pool.get().await?.query_typed(select, &[]).await
    });
    Ok(Json(rows.await?.iter().map(Note::from).collect()))
}

/// `GET /notes/{id}`.
pub(crate) async fn find(
    State(pool): State<Pool>,
    Path(id): Path<Uuid>,
) -> Result<Json<Note>, Failure> {
    let select = "SELECT id, title FROM notes WHERE id = $1";
    let row = retry(READS, async || {
        let connection = pool.get().await?;
        connection
            .query_typed_opt(select, &[(&id, Type::UUID)])
            .await
    });
    let row = row.await?.ok_or(Failure::NoSuchNote)?;
    Ok(Json(Note::from(&row)))
}

impl From<&Row> for Note {
    fn from(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            title: row.get("title"),
        }
    }
}

const CREATE_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS notes (id uuid PRIMARY KEY, title text NOT NULL UNIQUE)";

const OUTCOMES: Outcomes = Outcomes::table("notes_outcomes");

/// A read is safe to repeat, also after its connection was lost.
const READS: RetryPolicy = RetryPolicy::new().idempotent();

/// In bytes. A key has at most 1 KiB.
const LONGEST_TITLE: usize = 200;
