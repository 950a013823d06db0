//! Checks the session's state, the time of a statement (cold and warm), and the named tables.

use std::time::Instant;

use dsql_conn::tokio_postgres::SimpleQueryMessage;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Connection, Error};

use super::Walk;
use crate::class::Class;
use crate::finding::Finding;
use crate::report::{Step, StepName};
use crate::words::Millis;

impl Walk<'_> {
    pub(super) async fn session(&mut self, connection: &Connection) -> Option<()> {
        let (mut step, began) = self.begin(StepName::Session);
        for (name, sql) in [
            ("role", "SELECT current_user"),
            ("search_path", "SHOW search_path"),
            ("isolation", "SHOW transaction_isolation"),
            ("application_name", "SHOW application_name"),
            ("server_version", "SHOW server_version"),
        ] {
            match connection.simple_query(sql).await {
                Ok(messages) => step.note(format!("{name}: {}", value(&messages))),
                Err(error) => {
                    step.fail(Finding::of_error(&error));
                    return self.end(step, began);
                }
            }
        }
        self.end(step, began)
    }

    pub(super) async fn query(&mut self, connection: &Connection) -> Option<()> {
        let (mut step, began) = self.begin(StepName::Query);
        let mut times = Vec::new();
        for _ in 0..=WARM {
            let sent = Instant::now();
            if let Err(error) = connection.query("SELECT 1", &[]).await {
                step.fail(Finding::of_error(&error));
                return self.end(step, began);
            }
            times.push(sent.elapsed());
        }
        let cold = times.remove(0);
        times.sort_unstable();
        let warm = times.get(WARM / 2).copied().unwrap_or(cold);
        step.note(format!(
            "SELECT 1: {} cold (prepared first), {} warm (the median of {WARM})",
            Millis(cold),
            Millis(warm)
        ));
        self.end(step, began)
    }

    pub(super) async fn tables(&mut self, connection: &Connection) -> Option<()> {
        let (mut step, began) = self.begin(StepName::Tables);
        let doctor = self.doctor;
        let tables = doctor.tables.iter().map(|name| (name, "*", None));
        let outcomes = doctor.outcomes.iter().map(|name| {
            let create = format!(
                "CREATE TABLE IF NOT EXISTS {} (id uuid PRIMARY KEY, committed boolean NOT NULL, \
                 at timestamptz NOT NULL)",
                quoted(name)
            );
            (name, "id, committed, at", Some(create))
        });
        let all: Vec<_> = tables.chain(outcomes).collect();
        if all.is_empty() {
            step.note("none was named");
            return self.keep(step);
        }
        for (name, columns, create) in all {
            let table = quoted(name);
            let sql = format!("SELECT {columns} FROM {table} LIMIT 1");
            match connection.query_typed(&sql, &[]).await {
                Ok(rows) => step.note(format!(
                    "{name}: may be read, {}",
                    if rows.is_empty() { "empty" } else { "has rows" }
                )),
                Err(error) => {
                    self.unusable(&mut step, name, &error, create);
                    break;
                }
            }
        }
        self.end(step, began)
    }

    fn unusable(&self, step: &mut Step, name: &str, error: &Error, create: Option<String>) {
        let table = quoted(name);
        let user = quoted(&self.summary.user);
        let (remedy, paste) = match error.code() {
            Some(code) if *code == SqlState::UNDEFINED_TABLE => (
                "create it, or correct its name or the search_path".to_owned(),
                create,
            ),
            Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => (
                "allow the role to use it".to_owned(),
                Some(format!(
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {user};"
                )),
            ),
            Some(code) if *code == SqlState::UNDEFINED_COLUMN => (
                "create it with the columns of an outcome table".to_owned(),
                create,
            ),
            _ => ("see the server's message".to_owned(), None),
        };
        step.fail(Finding {
            class: Class::Session,
            cause: format!("the table {name} cannot be used: {error}"),
            remedy,
            paste,
            docs: error.docs_url(),
        });
    }
}

/// Returns the only value of a result.
fn value(messages: &[SimpleQueryMessage]) -> String {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    match row {
        Some("") | None => "(none)".to_owned(),
        Some(value) => value.to_owned(),
    }
}

/// Returns a name, with or without a schema, quoted for SQL.
fn quoted(name: &str) -> String {
    let parts = name.splitn(2, '.');
    let parts: Vec<_> = parts
        .map(|part| format!("\"{}\"", part.trim_matches('"').replace('"', "\"\"")))
        .collect();
    parts.join(".")
}

const WARM: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_are_quoted_part_by_part() {
        for (name, sql) in [
            ("outcomes", "\"outcomes\""),
            ("games.outcomes", "\"games\".\"outcomes\""),
            ("a\"; DROP TABLE b", "\"a\"\"; DROP TABLE b\""),
        ] {
            assert_eq!(quoted(name), sql);
        }
    }
}
