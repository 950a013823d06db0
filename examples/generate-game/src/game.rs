//! What a game is, and how a random one is made.
//!
//! The domain of the example, free of input and output: `route` and `store` build on it.

use std::str::FromStr;

use rand::Rng;
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

/// A game as it is saved, and as clients see it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Game {
    /// Chosen by the database.
    pub id: Uuid,
    /// The caller's title, or a generated one.
    pub title: String,
    /// One word for the kind of game.
    pub genre: String,
    /// How many can play at most.
    pub players: i32,
    /// How long a round takes.
    pub minutes: i32,
    /// When the row was inserted, by the clock of the database.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A game that is not saved yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewGame {
    /// See [`Game::title`].
    pub title: Title,
    /// See [`Game::genre`].
    pub genre: &'static str,
    /// See [`Game::players`].
    pub players: i32,
    /// See [`Game::minutes`].
    pub minutes: i32,
}

impl NewGame {
    /// Makes up a game, with the title if there is one.
    pub fn random<R: Rng + ?Sized>(title: Option<Title>, rng: &mut R) -> Self {
        Self {
            title: title.unwrap_or_else(|| Title::random(rng)),
            genre: pick(&GENRES, rng),
            players: rng.random_range(1..=8),
            minutes: 5 * rng.random_range(1..=36),
        }
    }
}

/// A title that fits its column: 1 to 100 characters of one line, without blanks around them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Title(String);

impl Title {
    fn random<R: Rng + ?Sized>(rng: &mut R) -> Self {
        Self(format!("{} {}", pick(&QUALITIES, rng), pick(&THINGS, rng)))
    }

    /// Returns the title's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Title {
    type Err = TitleError;

    fn from_str(text: &str) -> Result<Self, TitleError> {
        let text = text.trim();
        // PostgreSQL refuses NUL in a text; no other control character belongs in a title either.
        if text.chars().any(char::is_control) {
            return Err(TitleError::ControlCharacter);
        }
        match text.chars().count() {
            1..=LONGEST_TITLE => Ok(Self(text.to_owned())),
            0 => Err(TitleError::Empty),
            length => Err(TitleError::TooLong { length }),
        }
    }
}

impl TryFrom<String> for Title {
    type Error = TitleError;

    fn try_from(text: String) -> Result<Self, TitleError> {
        text.parse()
    }
}

/// Why a text is no [`Title`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TitleError {
    /// Nothing is left after trimming.
    #[error("the title is empty")]
    Empty,
    /// More characters than the column takes.
    #[error("the title has {length} characters, {LONGEST_TITLE} are allowed")]
    TooLong {
        /// How many it has.
        length: usize,
    },
    /// A line break, a tab or worse.
    #[error("the title contains a control character")]
    ControlCharacter,
}

fn pick<R: Rng + ?Sized>(words: &[&'static str], rng: &mut R) -> &'static str {
    words.choose(rng).expect("the word lists are not empty")
}

const LONGEST_TITLE: usize = 100;

const GENRES: [&str; 8] = [
    "adventure",
    "arcade",
    "board",
    "cards",
    "party",
    "puzzle",
    "quiz",
    "strategy",
];

const QUALITIES: [&str; 12] = [
    "Ancient",
    "Brave",
    "Crooked",
    "Distant",
    "Electric",
    "Frozen",
    "Golden",
    "Hidden",
    "Restless",
    "Silent",
    "Twisted",
    "Wandering",
];

const THINGS: [&str; 12] = [
    "Castles",
    "Comets",
    "Dragons",
    "Gardens",
    "Islands",
    "Lanterns",
    "Merchants",
    "Mirrors",
    "Orbits",
    "Pirates",
    "Railways",
    "Volcanoes",
];

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn same_seed_makes_the_same_game() {
        let game = |seed| NewGame::random(None, &mut StdRng::seed_from_u64(seed));
        assert_eq!(game(7), game(7));
        assert!((0..20).any(|seed| game(seed) != game(7)));
    }

    #[test]
    fn random_game_stays_within_its_bounds() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let game = NewGame::random(None, &mut rng);
            assert!((1..=8).contains(&game.players), "{game:?}");
            assert!((5..=180).contains(&game.minutes), "{game:?}");
            assert!(GENRES.contains(&game.genre), "{game:?}");
            assert_eq!(game.title.as_str().parse(), Ok(game.title));
        }
    }

    #[test]
    fn given_title_is_kept() {
        let title: Title = "  Chess ".parse().unwrap();
        let game = NewGame::random(Some(title), &mut StdRng::seed_from_u64(1));
        assert_eq!(game.title.as_str(), "Chess");
    }

    #[test]
    fn bad_titles_are_refused() {
        for (text, error) in [
            ("", TitleError::Empty),
            (" \t ", TitleError::Empty),
            ("a\0b", TitleError::ControlCharacter),
            ("two\nlines", TitleError::ControlCharacter),
            (&"x".repeat(101), TitleError::TooLong { length: 101 }),
        ] {
            assert_eq!(text.parse::<Title>(), Err(error), "{text:?}");
        }
        assert!("ü".repeat(100).parse::<Title>().is_ok());
    }

    #[test]
    fn saved_game_is_json_with_an_rfc_3339_time() {
        let game = Game {
            id: Uuid::nil(),
            title: "Chess".to_owned(),
            genre: "board".to_owned(),
            players: 2,
            minutes: 60,
            created_at: OffsetDateTime::UNIX_EPOCH,
        };
        assert_eq!(
            serde_json::to_value(game).unwrap(),
            serde_json::json!({
                "id": "00000000-0000-0000-0000-000000000000",
                "title": "Chess",
                "genre": "board",
                "players": 2,
                "minutes": 60,
                "created_at": "1970-01-01T00:00:00Z",
            })
        );
    }
}
