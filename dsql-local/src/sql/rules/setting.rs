//! SET and SHOW: which settings a session can set, and the values of settings in which the engine
//! and the service differ.

use super::read::Reader;
use crate::refusal::Refusal;
use crate::sql::setting::{self, Setting};
use crate::sql::statement::{Statement, Token};

/// Returns why a SET is refused, if it is.
pub(super) fn refuse(reader: Reader<'_>) -> Option<Refusal> {
    refuse_name(&name(reader)?)
}

/// Returns why setting this parameter is refused, if it is.
pub(super) fn refuse_name(name: &str) -> Option<Refusal> {
    setting::setting(name)
        .is_none()
        .then(|| Refusal::SettingNotSupported {
            name: name.to_owned(),
        })
}

/// Translates SET of the service's own settings, which the engine does not have, and SHOW of
/// settings whose values differ.
pub(super) fn translate(statement: &Statement<'_>) -> Option<(String, &'static str)> {
    let mut reader = Reader::new(&statement.tokens);
    match reader.peek() {
        "set" => (setting::setting(&name(reader)?) == Some(Setting::OfTheService))
            .then(|| ("DO 'BEGIN END'".to_owned(), "SET")),
        "show" => {
            reader.next();
            let shown = reader.name().filter(|_| reader.is_at_end())?;
            if shown == "all" {
                return Some((SHOW_ALL.to_owned(), "SHOW"));
            }
            DIFFERENT.contains(&shown).then(|| {
                (
                    format!("SELECT current_setting('{shown}') AS {shown}"),
                    "SHOW",
                )
            })
        }
        _ => None,
    }
}

pub(super) fn is_local_role(tokens: &[Token]) -> bool {
    Reader::new(tokens).take(&["set", "local", "role"])
}

/// Returns the parameter of a SET, unless the SET has none or is always allowed.
fn name(mut reader: Reader<'_>) -> Option<String> {
    let is_local_role = is_local_role(reader.rest());
    reader.next();
    reader.take_any(&["session", "local"]);
    let name = match reader.peek() {
        "constraints" => return None,
        "role" if is_local_role => return None,
        "role" => "role",
        "time" if reader.take(&["time", "zone"]) => "timezone",
        "names" => "client_encoding",
        "schema" => "search_path",
        "authorization" => "session_authorization",
        _ => return Some(spelled_out(reader)),
    };
    Some(name.to_owned())
}

/// Joins the parts of a name.
fn spelled_out(mut reader: Reader<'_>) -> String {
    let mut name = reader.name().unwrap_or_default().to_owned();
    while reader.take_symbol('.') {
        name.push('.');
        name += reader.name().unwrap_or_default();
    }
    name
}

/// Settings whose values differ between the engine and the service (`engine/prepare.sql`).
const DIFFERENT: [&str; 5] = [
    "server_version",
    "server_version_num",
    "max_connections",
    "lock_timeout",
    "deadlock_timeout",
];
const SHOW_ALL: &str =
    "SELECT name, setting, short_desc AS description FROM pg_settings ORDER BY lower(name)";
