//! The start of a page of games: after the last game of the page before.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::game::Game;

/// The position of a game in the list, the newest first. Clients see it as 48 hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cursor {
    /// When the game was saved.
    pub created_at: OffsetDateTime,
    /// Orders games of the same moment.
    pub id: Uuid,
}

impl Cursor {
    /// Returns the position of a game.
    pub fn of(game: &Game) -> Self {
        Self {
            created_at: game.created_at,
            id: game.id,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // PostgreSQL keeps microseconds.
        let micros = self.created_at.unix_timestamp_nanos() / 1_000;
        write!(f, "{micros:016x}{}", self.id.simple())
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        // Until the year 2112, so every cursor of this form is a valid time.
        if text.len() != 48 || !text.starts_with("000") || !text.bytes().all(is_digit) {
            return Err(CursorError);
        }
        let (micros, id) = text.split_at(16);
        let micros = i64::from_str_radix(micros, 16).map_err(|_| CursorError)?;
        let nanos = i128::from(micros) * 1_000;
        Ok(Self {
            created_at: OffsetDateTime::from_unix_timestamp_nanos(nanos)
                .map_err(|_| CursorError)?,
            id: id.parse().map_err(|_| CursorError)?,
        })
    }
}

/// The text was no [`Cursor`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the cursor is not one of this API: use the `cursor` of the page before")]
pub struct CursorError;

/// A page of games, and where the next one begins.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
pub struct Page {
    /// The games, the newest first.
    pub games: Vec<Game>,
    /// None on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

impl Page {
    /// Makes a page of `limit` games from one more, if there is one more.
    pub fn of(mut games: Vec<Game>, limit: u8) -> Self {
        let more = games.len() > usize::from(limit);
        games.truncate(limit.into());
        let last = games.last().filter(|_| more);
        let cursor = last.map(|last| Cursor::of(last).to_string());
        Self { games, cursor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_read_back_to_the_microsecond() {
        for micros in [0_i64, 1, 1_795_000_000_123_456, (1 << 52) - 1] {
            let cursor = Cursor {
                created_at: OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
                    .unwrap(),
                id: Uuid::from_u128(7),
            };
            let text = cursor.to_string();
            assert_eq!(text.len(), 48, "{text}");
            assert_eq!(text.parse(), Ok(cursor));
        }
    }

    #[test]
    fn other_texts_are_no_cursors() {
        let good = "0".repeat(48);
        assert!(good.parse::<Cursor>().is_ok());
        for text in [
            "",
            "7",
            &"0".repeat(47),
            &"0".repeat(49),
            &"F".repeat(48),
            &"+".repeat(48),
            &format!("0010000000000000{}", "0".repeat(32)),
            &format!("7fffffffffffffff{}", "0".repeat(32)),
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text}");
        }
    }
}
