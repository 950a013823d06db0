//! The statements that begin with CREATE.

use super::words::Words;
use super::{Effect, Index, Kind, Refusal};

/// Decides how a CREATE statement is run. The word CREATE was read already.
pub(super) fn classify(mut words: Words<'_>) -> Result<Kind, Refusal> {
    let replaces = words.take(&["or", "replace"]);
    let is_unique = words.take(&["unique"]);
    let what = words.word().unwrap_or_default();
    match what {
        "index" => index(words, is_unique),
        "role" | "user" => {
            let role = words.name().ok_or_else(Refusal::unknown)?;
            Ok(Kind::Effect(Effect::Role(role)))
        }
        "domain" => {
            let domain = words.qualified().ok_or_else(Refusal::unknown)?;
            Ok(Kind::Effect(Effect::Domain(domain)))
        }
        "table" | "schema" | "sequence" | "statistics" => {
            match words.take(&["if", "not", "exists"]) {
                true => Ok(Kind::Definition),
                false => Err(Refusal::not_repeatable(format!(
                    "CREATE {} IF NOT EXISTS ..",
                    what.to_ascii_uppercase()
                ))),
            }
        }
        "view" | "function" | "procedure" => match replaces {
            true => Ok(Kind::Definition),
            false => Err(Refusal::not_repeatable(format!(
                "CREATE OR REPLACE {} ..",
                what.to_ascii_uppercase()
            ))),
        },
        _ => Err(Refusal::unknown()),
    }
}

/// Reads `ASYNC IF NOT EXISTS name ON table`. The name is needed to look the index up.
fn index(mut words: Words<'_>, is_unique: bool) -> Result<Kind, Refusal> {
    let is_async = words.take(&["async"]);
    let refusal = match is_async {
        true => Refusal::not_repeatable,
        false => Refusal::not_async,
    };
    let is_repeatable = words.take(&["if", "not", "exists"]);
    let name = words.name().filter(|_| is_repeatable);
    let table = words.take(&["on"]).then(|| {
        words.take(&["only"]);
        words.qualified()
    });
    match (name, table.flatten()) {
        (Some(name), Some(table)) if is_async => Ok(Kind::Index(Index { name, table })),
        _ => Err(refusal(format!(
            "CREATE {}INDEX ASYNC IF NOT EXISTS name ON table ..",
            if is_unique { "UNIQUE " } else { "" }
        ))),
    }
}
