//! A game, and how a random one is made.
//!
//! The domain of the example, free of input and output: `route` and `store` build on it.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::title::Title;

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
    /// Counts the changes from 1. Clients see it as the `ETag`.
    #[serde(skip)]
    pub version: i32,
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
    /// Makes a random game, with the given title if there is one.
    pub fn random<R: Rng + ?Sized>(title: Option<Title>, rng: &mut R) -> Self {
        Self {
            title: title.unwrap_or_else(|| random_title(rng)),
            genre: pick(&GENRES, rng),
            players: rng.random_range(1..=8),
            minutes: 5 * rng.random_range(1..=36),
        }
    }
}

/// The content that replaces a game.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct GameUpdate {
    /// See [`Game::title`].
    pub title: Title,
    /// See [`Game::genre`].
    pub genre: Genre,
    /// See [`Game::players`].
    pub players: Bounded<100>,
    /// See [`Game::minutes`].
    pub minutes: Bounded<1440>,
}

/// A known kind of game.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Genre(String);

impl Genre {
    /// Returns the word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Genre {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        match GENRES.contains(&word.as_str()) {
            true => Ok(Self(word)),
            false => Err(format!("the genre is one of {}", GENRES.join(", "))),
        }
    }
}

/// A whole number from 1 to `MAX`. `2.0` is one, too: JSON has one kind of number.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "f64")]
pub struct Bounded<const MAX: i32>(i32);

impl<const MAX: i32> Bounded<MAX> {
    /// Returns the number.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl<const MAX: i32> TryFrom<f64> for Bounded<MAX> {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        match number.fract() == 0.0 && (1.0..=f64::from(MAX)).contains(&number) {
            true => Ok(Self(number as i32)),
            false => Err(format!("{number} is not a whole number from 1 to {MAX}")),
        }
    }
}

fn random_title<R: Rng + ?Sized>(rng: &mut R) -> Title {
    let title = format!("{} {}", pick(&QUALITIES, rng), pick(&THINGS, rng));
    title.parse().expect("the words make a short visible title")
}

fn pick<R: Rng + ?Sized>(words: &[&'static str], rng: &mut R) -> &'static str {
    words.choose(rng).expect("the word lists are not empty")
}

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
    fn update_takes_known_genres_and_numbers_in_range() {
        let update = |genre: &str, players: i64, minutes: i64| {
            let body = serde_json::json!({
                "title": "Go", "genre": genre, "players": players, "minutes": minutes,
            });
            serde_json::from_value::<GameUpdate>(body)
        };
        let body = |players: &str| {
            format!(r#"{{"title":"Go","genre":"board","players":{players},"minutes":60}}"#)
        };
        let whole: GameUpdate = serde_json::from_str(&body("2.0")).unwrap();
        assert_eq!(whole.players.get(), 2);
        let good = update("board", 2, 1_440).unwrap();
        assert_eq!((good.players.get(), good.minutes.get()), (2, 1_440));
        for (bad, says) in [
            (update("chess", 2, 60), "the genre is one of"),
            (
                update("board", 0, 60),
                "0 is not a whole number from 1 to 100",
            ),
            (update("board", 101, 60), "101 is not a whole number"),
            (
                update("board", 2, 1_441),
                "1441 is not a whole number from 1 to 1440",
            ),
            (update("board", i64::MAX, 1), "is not a whole number"),
            (
                serde_json::from_str(&body("2.5")),
                "2.5 is not a whole number",
            ),
        ] {
            let error = bad.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
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
            version: 1,
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
