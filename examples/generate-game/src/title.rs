//! A game's title, and the characters that it may contain.

use std::str::FromStr;

use serde::Deserialize;

/// A single line of 1 to 100 visible characters, without surrounding blanks.
///
/// Control, invisible and bidirectional characters are refused: they make titles look alike, or
/// reorder the text around a title. Joiners and emoji selectors are allowed after a visible
/// character, where scripts and emoji need them. The `pattern` in `openapi.json` is the same rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Title(String);

impl Title {
    /// Returns the title's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Title {
    type Err = TitleError;

    fn from_str(text: &str) -> Result<Self, TitleError> {
        // Counted before trimming, as a JSON Schema counts.
        match text.chars().count() {
            1..=LONGEST_TITLE => {}
            0 => return Err(TitleError::Empty),
            length => return Err(TitleError::TooLong { length }),
        }
        // PostgreSQL refuses NUL in a text; no other control character belongs in a title either.
        if text.chars().any(char::is_control) {
            return Err(TitleError::ControlCharacter);
        }
        if !is_visible(text) {
            return Err(TitleError::InvisibleCharacter);
        }
        match text.trim() {
            "" => Err(TitleError::Empty),
            trimmed => Ok(Self(trimmed.to_owned())),
        }
    }
}

impl TryFrom<String> for Title {
    type Error = TitleError;

    fn try_from(text: String) -> Result<Self, TitleError> {
        text.parse()
    }
}

/// Why a text is not a [`Title`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TitleError {
    /// Nothing is left after trimming.
    #[error("the title is empty")]
    Empty,
    /// More characters than the column takes.
    #[error("the title has {length} characters, {LONGEST_TITLE} are allowed")]
    TooLong {
        /// The number of characters.
        length: usize,
    },
    /// A line break, a tab or another control character.
    #[error("the title contains a control character")]
    ControlCharacter,
    /// An invisible character, or one that changes the direction of the text.
    #[error("the title contains an invisible or bidirectional character")]
    InvisibleCharacter,
}

/// Returns whether every character is visible, or joins two that are.
fn is_visible(text: &str) -> bool {
    let mut allowed = Allowed::Character;
    for character in text.chars() {
        allowed = match (character, allowed) {
            (TEXT_STYLE | EMOJI_STYLE, Allowed::Anything) => Allowed::JoinerOrCharacter,
            (JOINER | NON_JOINER, Allowed::Anything | Allowed::JoinerOrCharacter) => {
                Allowed::Character
            }
            (TEXT_STYLE | EMOJI_STYLE | JOINER | NON_JOINER, _) => return false,
            _ if IGNORABLE.iter().any(|range| range.contains(&character)) => return false,
            _ => Allowed::Anything,
        };
    }
    // A joiner at the end joins nothing.
    !text.ends_with([JOINER, NON_JOINER])
}

/// What may come next.
#[derive(Clone, Copy)]
enum Allowed {
    Anything,
    JoinerOrCharacter,
    Character,
}

const NON_JOINER: char = '\u{200c}';
const JOINER: char = '\u{200d}';
const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';

/// `Default_Ignorable_Code_Point` of Unicode, which holds the bidirectional controls, without the
/// four characters above; and the separators, interlinear annotations and the Braille blank.
/// <https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point>
const IGNORABLE: [std::ops::RangeInclusive<char>; 19] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200b}',
    '\u{200e}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0d}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];

const LONGEST_TITLE: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visible_titles_are_taken() {
        let longest = "ü".repeat(100);
        for title in [
            "Chess",
            "Schach für zwei ♟",
            "♟\u{fe0f}",
            "👩\u{200d}🚀",
            "🏳\u{fe0f}\u{200d}🌈",
            "می\u{200c}خواهم",
            "\u{202f}a",
            &longest,
        ] {
            assert!(title.parse::<Title>().is_ok(), "{title:?}");
        }
        assert_eq!(" Chess ".parse::<Title>().unwrap().as_str(), "Chess");
    }

    #[test]
    fn bad_titles_are_refused() {
        use TitleError::{ControlCharacter, Empty, InvisibleCharacter, TooLong};
        for (text, error) in [
            ("", Empty),
            ("   ", Empty),
            (" \t ", ControlCharacter),
            ("a\0b", ControlCharacter),
            ("two\nlines", ControlCharacter),
            ("a\u{85}b", ControlCharacter),
            (&"x".repeat(101), TooLong { length: 101 }),
            (&" ".repeat(101), TooLong { length: 101 }),
            // Reads as "txt.exe".
            ("\u{202e}exe.txt", InvisibleCharacter),
            ("a\u{2066}b\u{2069}", InvisibleCharacter),
            ("a\u{200f}b", InvisibleCharacter),
            ("Che\u{200b}ss", InvisibleCharacter),
            ("\u{3164}", InvisibleCharacter),
            ("\u{2800}", InvisibleCharacter),
            ("a\u{feff}", InvisibleCharacter),
            ("a\u{e0041}", InvisibleCharacter),
            ("\u{200d}", InvisibleCharacter),
            ("\u{200d}a", InvisibleCharacter),
            ("a\u{200d}", InvisibleCharacter),
            ("a\u{200d}\u{200d}b", InvisibleCharacter),
            ("a\u{fe0f}\u{fe0f}", InvisibleCharacter),
            ("\u{fe0f}", InvisibleCharacter),
        ] {
            assert_eq!(text.parse::<Title>(), Err(error), "{text:?}");
        }
    }
}
