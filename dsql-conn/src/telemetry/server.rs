//! The attributes of a server, and of the statements that are sent to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::instruments::Durations;
use super::summary::{redacted, summary};
use crate::config::{Config, StatementSpans};

/// The attributes of one Region's endpoint, made once, and of the statements that were sent to it.
pub(crate) struct Server {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) region: String,
    pub(super) namespace: String,
    pub(super) statements: StatementSpans,
    pub(super) durations: Durations,
    known: Mutex<HashMap<String, Arc<Description>>>,
}

/// The attributes of a statement.
#[derive(Default)]
pub(super) struct Description {
    pub(super) summary: String,
    /// The text without literals. `None` unless the configuration asks for it.
    pub(super) text: Option<String>,
    pub(super) durations: Durations,
}

impl Server {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            address: config.endpoint.host().to_owned(),
            port: config.port,
            region: config.endpoint.region().to_owned(),
            namespace: namespace(config),
            statements: config.statement_spans,
            durations: Durations::default(),
            known: Mutex::default(),
        }
    }

    /// Returns the conventions' name for a pool without one:
    /// `server.address:server.port/db.namespace`.
    pub(crate) fn pool_name(&self) -> String {
        format!("{}:{}/{}", self.address, self.port, self.namespace)
    }

    pub(super) fn describe(&self, text: &str) -> Arc<Description> {
        if let Some(known) = self.known().get(text) {
            return Arc::clone(known);
        }
        let wants_text = self.statements == StatementSpans::WithText;
        let description = Arc::new(Description {
            summary: summary(text),
            text: wants_text.then(|| redacted(text)),
            durations: Durations::default(),
        });
        let mut known = self.known();
        // A program that writes values into its texts must not fill the memory.
        if known.len() < CAPACITY {
            known.insert(text.to_owned(), Arc::clone(&description));
        }
        description
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Description>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the conventions' `{database}|{schema}`. The schema is the first of the search path with
/// which connections are opened.
fn namespace(config: &Config) -> String {
    let path = config.settings.get("search_path").unwrap_or_default();
    let mut is_quoted = false;
    let end = path.find(|c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    match path[..end.unwrap_or(path.len())].trim() {
        "" => config.database.clone(),
        schema => format!("{}|{schema}", config.database),
    }
}

/// How many descriptions are kept.
const CAPACITY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_the_database_and_the_first_schema() {
        let host = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
        let config = Config::new(host.parse().unwrap());
        assert_eq!(namespace(&config), "postgres");
        for (path, expected) in [
            ("games", "postgres|games"),
            (" games , public", "postgres|games"),
            ("\"a,b\", c", "postgres|\"a,b\""),
            ("", "postgres"),
        ] {
            assert_eq!(namespace(&config.clone().search_path(path)), expected);
        }
        let name = Server::new(&config.search_path("games")).pool_name();
        assert_eq!(name, format!("{host}:5432/postgres|games"));
    }
}
