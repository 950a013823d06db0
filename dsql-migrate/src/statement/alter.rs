//! The statements that begin with ALTER.

use super::words::Words;
use super::{Effect, Kind, Refusal};
use crate::name::Name;

/// Decides how an ALTER statement is run. The word ALTER was read already.
pub(super) fn classify(mut words: Words<'_>) -> Result<Kind, Refusal> {
    let what = words.word().unwrap_or_default();
    match what {
        "table" if words.take(&["async"]) => validation(words),
        "table" => table(words),
        "schema" | "role" => match renamed(words) {
            None => Ok(Kind::Definition),
            Some(name) if what == "role" => Ok(Kind::Effect(Effect::Role(name))),
            Some(name) => Ok(Kind::Effect(Effect::Schema(name))),
        },
        "default" | "view" | "index" | "sequence" | "function" | "procedure" | "statistics" => {
            let moves = words.contains(&["rename", "to"]) || words.contains(&["set", "schema"]);
            match !moves || words.take(&["if", "exists"]) {
                true => Ok(Kind::Definition),
                false => Err(Refusal::not_repeatable(format!(
                    "ALTER {} IF EXISTS ..",
                    what.to_ascii_uppercase()
                ))),
            }
        }
        _ => Err(Refusal::unknown()),
    }
}

/// Reads `old RENAME TO new`, and returns the new name.
fn renamed(mut words: Words<'_>) -> Option<String> {
    words.name()?;
    match words.take(&["rename", "to"]) {
        true => words.name(),
        false => None,
    }
}

/// Reads `table VALIDATE CONSTRAINT name`.
fn validation(mut words: Words<'_>) -> Result<Kind, Refusal> {
    words.take(&["if", "exists"]);
    words.take(&["only"]);
    let table = words.qualified().ok_or_else(Refusal::unknown)?;
    if !words.take(&["validate", "constraint"]) {
        return Err(Refusal::unknown());
    }
    let constraint = words.name().ok_or_else(Refusal::unknown)?;
    Ok(Kind::Validation { table, constraint })
}

fn table(mut words: Words<'_>) -> Result<Kind, Refusal> {
    let if_exists = words.take(&["if", "exists"]);
    words.take(&["only"]);
    let table = words.qualified().ok_or_else(Refusal::unknown)?;
    let actions = words.parts();
    let is_alone = actions.len() == 1;
    let mut kind = Kind::Definition;
    for words in actions {
        if let Some(effect) = action(words, &table, if_exists)? {
            if !is_alone {
                return Err(Refusal::not_repeatable(
                    "a statement of its own for this action",
                ));
            }
            kind = Kind::Effect(effect);
        }
    }
    Ok(kind)
}

/// Returns the effect of an action in the catalog, if the action cannot run twice.
fn action(mut words: Words<'_>, table: &Name, if_exists: bool) -> Result<Option<Effect>, Refusal> {
    let table = table.clone();
    match words.word().unwrap_or_default() {
        "add" if words.take(&["constraint"]) => {
            let constraint = words.name().ok_or_else(Refusal::unknown)?;
            Ok(Some(Effect::Constraint { table, constraint }))
        }
        "add" => {
            let names_none = ["check", "unique", "primary", "foreign"];
            if names_none.iter().any(|word| words.take(&[word])) {
                return Err(Refusal::not_repeatable("ADD CONSTRAINT name .."));
            }
            words.take(&["column"]);
            match words.take(&["if", "not", "exists"]) {
                true => Ok(None),
                false => Err(Refusal::not_repeatable("ADD COLUMN IF NOT EXISTS ..")),
            }
        }
        "drop" => {
            let what = match words.take(&["constraint"]) {
                true => "CONSTRAINT",
                false => "COLUMN",
            };
            words.take(&["column"]);
            match words.take(&["if", "exists"]) {
                true => Ok(None),
                false => Err(Refusal::not_repeatable(format!("DROP {what} IF EXISTS .."))),
            }
        }
        "rename" if words.take(&["constraint"]) => {
            let constraint = new_name(words).ok_or_else(Refusal::unknown)?;
            Ok(Some(Effect::Constraint { table, constraint }))
        }
        "rename" if !words.take(&["to"]) => {
            words.take(&["column"]);
            let column = new_name(words).ok_or_else(Refusal::unknown)?;
            Ok(Some(Effect::RenamedColumn { table, column }))
        }
        "set" if !words.take(&["schema"]) => Ok(None),
        // When the statement runs again, the table has another name.
        "rename" | "set" if if_exists => Ok(None),
        "rename" | "set" => Err(Refusal::not_repeatable("ALTER TABLE IF EXISTS ..")),
        "validate" => Err(Refusal::not_async(
            "ALTER TABLE ASYNC .. VALIDATE CONSTRAINT ..",
        )),
        "alter" if words.contains(&["add", "generated"]) => Err(Refusal::not_repeatable(
            "GENERATED .. AS IDENTITY in CREATE TABLE",
        )),
        "alter" if words.contains(&["drop", "identity"]) => {
            match words.contains(&["if", "exists"]) {
                true => Ok(None),
                false => Err(Refusal::not_repeatable("DROP IDENTITY IF EXISTS")),
            }
        }
        "alter" | "owner" | "reset" => Ok(None),
        _ => Err(Refusal::unknown()),
    }
}

/// Reads `old TO new`, and returns the new name.
fn new_name(mut words: Words<'_>) -> Option<String> {
    words.name()?;
    match words.take(&["to"]) {
        true => words.name(),
        false => None,
    }
}
