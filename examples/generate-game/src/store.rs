//! Saves and reads games. The only module with SQL.
//!
//! Each function is one statement of its own and one flight to the server, except where the first
//! statement conflicts with an existing row and a second one reads that row: the types of the
//! parameters are named, so nothing has to be prepared first. `Connection::query` would prepare a
//! text at its first use, for one round trip more, and remember it for the next ones; a Lambda has
//! a first use with every cold start and every new connection. Tables are found through the
//! connection's `search_path`.

use dsql_conn::tokio_postgres::Row;
use dsql_conn::tokio_postgres::types::Type;
use dsql_conn::{Connection, Error, Outcomes};
use uuid::Uuid;

use crate::etag::IfMatch;
use crate::game::{Game, GameUpdate, NewGame};
use crate::idempotency::{self, IdempotencyKey};
use crate::page::Cursor;
use crate::title::Title;

/// Settles the commits of games that have no key.
pub const OUTCOMES: Outcomes = Outcomes::table("outcomes");

/// Saves the game and returns its row.
pub async fn insert(connection: &Connection, game: &NewGame) -> Result<Game, Error> {
    let row = connection
        .query_typed_one(
            &format!(
                "INSERT INTO games (title, genre, players, minutes) VALUES ($1, $2, $3, $4)
                 RETURNING {COLUMNS}"
            ),
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
/// A second attempt changes nothing. One that loses a race gets a conflict, and finds the other's
/// game on retry. A key past its [lifetime](idempotency::LIFETIME) is removed from its game first.
///
/// The requested title is saved as well: the row's own title may be random.
pub async fn insert_once(
    connection: &Connection,
    game: &NewGame,
    key: &IdempotencyKey,
    requested: Option<&Title>,
) -> Result<Once, Error> {
    let caller = (&key.caller() as _, Type::TEXT);
    let key = (&key.as_str() as _, Type::TEXT);
    let requested = requested.map(Title::as_str);
    let lifetime = idempotency::LIFETIME.as_secs();
    loop {
        let inserted = connection
            .query_typed_opt(
                &format!(
                    "INSERT INTO games
                       (title, genre, players, minutes, caller, idempotency_key, requested_title)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (caller, idempotency_key) DO NOTHING
                     RETURNING {COLUMNS}"
                ),
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
            .query_typed_opt(
                &format!(
                    "SELECT {COLUMNS}, requested_title FROM games
                     WHERE caller = $1 AND idempotency_key = $2
                       AND created_at > now() - interval '{lifetime} seconds'"
                ),
                &[caller.clone(), key.clone()],
            )
            .await?;
        if let Some(row) = row {
            let same = row.try_get::<_, Option<&str>>("requested_title")? == requested;
            return Ok(match same {
                true => Once::Found(from_row(&row)?),
                false => Once::Taken,
            });
        }
        // Expired, or deleted since.
        connection
            .query_typed(
                &format!(
                    "UPDATE games SET caller = NULL, idempotency_key = NULL, requested_title = NULL
                     WHERE caller = $1 AND idempotency_key = $2
                       AND created_at <= now() - interval '{lifetime} seconds'"
                ),
                &[caller.clone(), key.clone()],
            )
            .await?;
    }
}

/// The game of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Once {
    /// Saved just now.
    Saved(Game),
    /// Saved before, for the same request.
    Found(Game),
    /// Saved for a request with another title.
    Taken,
}

/// Returns the game of this id, if there is one.
pub async fn find(connection: &Connection, id: Uuid) -> Result<Option<Game>, Error> {
    let row = connection
        .query_typed_opt(
            &format!("SELECT {COLUMNS} FROM games WHERE id = $1"),
            &[(&id, Type::UUID)],
        )
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Returns the newest games, at most one more than `limit`: the extra one shows that there is
/// another page.
pub async fn newest(
    connection: &Connection,
    limit: u8,
    after: Option<Cursor>,
) -> Result<Vec<Game>, Error> {
    let limit = i64::from(limit) + 1;
    let rows = match after {
        None => {
            connection
                .query_typed(
                    &format!(
                        "SELECT {COLUMNS} FROM games
                         ORDER BY created_at DESC, id DESC LIMIT $1"
                    ),
                    &[(&limit, Type::INT8)],
                )
                .await?
        }
        Some(Cursor { created_at, id }) => {
            connection
                .query_typed(
                    &format!(
                        "SELECT {COLUMNS} FROM games WHERE (created_at, id) < ($2, $3)
                         ORDER BY created_at DESC, id DESC LIMIT $1"
                    ),
                    &[
                        (&limit, Type::INT8),
                        (&created_at, Type::TIMESTAMPTZ),
                        (&id, Type::UUID),
                    ],
                )
                .await?
        }
    };
    rows.iter().map(from_row).collect()
}

/// The outcome of a conditional change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Changed<T> {
    /// The change was made.
    Done(T),
    /// The game does not exist.
    Missing,
    /// The game has another version than the condition names.
    OtherVersion,
}

/// Replaces a game, and returns the saved one.
///
/// A second attempt finds the version and the content of the first one, which counts as done.
pub async fn replace(
    connection: &Connection,
    id: Uuid,
    condition: IfMatch,
    update: &GameUpdate,
) -> Result<Changed<Game>, Error> {
    let (title, genre) = (update.title.as_str(), update.genre.as_str());
    let (players, minutes) = (update.players.get(), update.minutes.get());
    let expected = expected(condition);
    let row = connection
        .query_typed_opt(
            &format!(
                "UPDATE games
                 SET title = $2, genre = $3, players = $4, minutes = $5,
                     version = COALESCE(version, 1) + 1
                 WHERE id = $1 AND ($6::int4 IS NULL OR COALESCE(version, 1) = $6)
                 RETURNING {COLUMNS}"
            ),
            &[
                (&id, Type::UUID),
                (&title, Type::TEXT),
                (&genre, Type::TEXT),
                (&players, Type::INT4),
                (&minutes, Type::INT4),
                (&expected, Type::INT4),
            ],
        )
        .await?;
    if let Some(row) = row {
        return Ok(Changed::Done(from_row(&row)?));
    }
    let Some(game) = find(connection, id).await? else {
        return Ok(Changed::Missing);
    };
    let is_next = expected.and_then(|version| version.checked_add(1)) == Some(game.version);
    let content = (
        game.title.as_str(),
        game.genre.as_str(),
        game.players,
        game.minutes,
    );
    Ok(
        match is_next && content == (title, genre, players, minutes) {
            true => Changed::Done(game),
            false => Changed::OtherVersion,
        },
    )
}

/// Deletes a game.
pub async fn delete(
    connection: &Connection,
    id: Uuid,
    condition: IfMatch,
) -> Result<Changed<()>, Error> {
    let deleted = connection
        .query_typed_opt(
            "DELETE FROM games WHERE id = $1 AND ($2::int4 IS NULL OR COALESCE(version, 1) = $2)
             RETURNING id",
            &[(&id, Type::UUID), (&expected(condition), Type::INT4)],
        )
        .await?;
    if deleted.is_some() {
        return Ok(Changed::Done(()));
    }
    Ok(match find(connection, id).await? {
        Some(_) => Changed::OtherVersion,
        None => Changed::Missing,
    })
}

/// Returns the version that a row must have, or `None` for any. Versions count from 1.
fn expected(condition: IfMatch) -> Option<i32> {
    match condition {
        IfMatch::Any => None,
        IfMatch::Version(version) => Some(version),
        IfMatch::Never => Some(0),
    }
}

fn from_row(row: &Row) -> Result<Game, Error> {
    Ok(Game {
        id: row.try_get("id")?,
        title: row.try_get("title")?,
        genre: row.try_get("genre")?,
        players: row.try_get("players")?,
        minutes: row.try_get("minutes")?,
        created_at: row.try_get("created_at")?,
        version: row.try_get("version")?,
    })
}

/// A row from before versions existed has none.
const COLUMNS: &str =
    "id, title, genre, players, minutes, created_at, COALESCE(version, 1) AS version";
