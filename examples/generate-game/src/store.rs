//! Saves and reads games: the only place of the function that speaks SQL.
//!
//! Each function is one statement of its own and one flight to the server, but for a repeated
//! request, whose game takes a second one to be found: the types of the
//! parameters are named, so nothing has to be prepared first. `Connection::query` would prepare
//! a text at its first use, for one round trip more, and remember it for the next ones; a Lambda
//! has a first use with every cold start and every new connection.
//! Tables are found through the connection's `search_path`.

use dsql_conn::Connection;
use dsql_conn::tokio_postgres::types::Type;
use dsql_conn::tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::game::{Game, NewGame, Title};
use crate::idempotency::IdempotencyKey;

/// Saves the game and returns its row.
pub async fn insert(connection: &Connection, game: &NewGame) -> Result<Game, Error> {
    let row = connection
        .query_typed_one(
            "INSERT INTO games (title, genre, players, minutes) VALUES ($1, $2, $3, $4)
             RETURNING id, title, genre, players, minutes, created_at",
            &[
                (&game.title.as_str(), Type::TEXT),
                (&game.genre, Type::TEXT),
                (&game.players, Type::INT4),
                (&game.minutes, Type::INT4),
            ],
        )
        .await?;
    from_row(&row)
}

/// Saves the game under a key and returns its row, or returns the one that was saved under it.
///
/// A second run changes nothing. One that loses a race ends by a conflict, and finds the other's
/// game when it is run again.
///
/// The title that was asked for is saved too: the row's own may have been made up.
pub async fn insert_once(
    connection: &Connection,
    game: &NewGame,
    key: &IdempotencyKey,
    requested: Option<&Title>,
) -> Result<Once, Error> {
    let caller = (&key.caller() as _, Type::TEXT);
    let key = (&key.as_str() as _, Type::TEXT);
    let requested = requested.map(Title::as_str);
    let inserted = connection
        .query_typed_opt(
            "INSERT INTO games
               (title, genre, players, minutes, caller, idempotency_key, requested_title)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (caller, idempotency_key) DO NOTHING
             RETURNING id, title, genre, players, minutes, created_at",
            &[
                (&game.title.as_str(), Type::TEXT),
                (&game.genre, Type::TEXT),
                (&game.players, Type::INT4),
                (&game.minutes, Type::INT4),
                caller.clone(),
                key.clone(),
                (&requested, Type::TEXT),
            ],
        )
        .await?;
    if let Some(row) = inserted {
        return Ok(Once::Saved(from_row(&row)?));
    }
    let row = connection
        .query_typed_one(
            "SELECT id, title, genre, players, minutes, created_at, requested_title FROM games
             WHERE caller = $1 AND idempotency_key = $2",
            &[caller, key],
        )
        .await?;
    Ok(
        match row.try_get::<_, Option<&str>>("requested_title")? == requested {
            true => Once::Found(from_row(&row)?),
            false => Once::Taken,
        },
    )
}

/// Whose game a key stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Once {
    /// The one that was saved just now.
    Saved(Game),
    /// The one that was saved for the same request before.
    Found(Game),
    /// One that was saved for a request with another title.
    Taken,
}

/// Returns the game of this id, if there is one.
pub async fn find(connection: &Connection, id: Uuid) -> Result<Option<Game>, Error> {
    let row = connection
        .query_typed_opt(
            "SELECT id, title, genre, players, minutes, created_at FROM games WHERE id = $1",
            &[(&id, Type::UUID)],
        )
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Returns at most `limit` games, the newest first.
pub async fn newest(connection: &Connection, limit: u8) -> Result<Vec<Game>, Error> {
    let rows = connection
        .query_typed(
            "SELECT id, title, genre, players, minutes, created_at FROM games
             ORDER BY created_at DESC, id DESC LIMIT $1",
            &[(&i64::from(limit), Type::INT8)],
        )
        .await?;
    rows.iter().map(from_row).collect()
}

fn from_row(row: &Row) -> Result<Game, Error> {
    Ok(Game {
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        genre: row.try_get("genre")?,
        players: row.try_get("players")?,
        minutes: row.try_get("minutes")?,
        created_at: row.try_get("created_at")?,
    })
}
