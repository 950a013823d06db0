//! Compares the files with the history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Record;
use crate::difference::{Difference, State, lines};
use crate::migration::{Migration, Migrations, Statement};
use crate::place::Place;

/// The result of comparing the files with the history.
#[derive(Debug, Default)]
pub(crate) struct Comparison<'a> {
    pub(crate) states: Vec<(String, State)>,
    pub(crate) differences: Vec<Difference>,
    /// The recorded statements, in the order of the files.
    pub(crate) applied: Vec<&'a Statement>,
    /// The statements that are not recorded, in the order in which they are applied.
    pub(crate) pending: Vec<(&'a Migration, &'a Statement)>,
}

/// Compares the files with the history.
pub(crate) fn compare<'a>(migrations: &'a Migrations, records: &[Record]) -> Comparison<'a> {
    let mut found = Comparison::default();
    let mut by_name = BTreeMap::<&str, BTreeMap<usize, &Record>>::new();
    for record in records {
        let statements = by_name.entry(&record.name).or_default();
        statements.insert(record.statement, record);
    }
    let last = migrations.files.iter().rev();
    let last = last
        .map(|file| &file.name)
        .find(|name| by_name.contains_key(&***name));
    let mut is_before_last = last.is_some();
    for file in &migrations.files {
        let records = by_name.remove(&*file.name).unwrap_or_default();
        is_before_last &= last != Some(&file.name);
        let state = found.add(file, &records);
        if let (State::Pending, true, Some(last)) = (state, is_before_last, last) {
            found.differences.push(Difference::OutOfOrder {
                name: file.name.to_string(),
                before: last.to_string(),
            });
        }
        found.states.push((file.name.to_string(), state));
    }
    let names: BTreeSet<_> = by_name.into_keys().collect();
    for name in names {
        found.states.push((name.to_owned(), State::Missing));
        found.differences.push(Difference::Missing {
            name: name.to_owned(),
        });
    }
    found
}

impl<'a> Comparison<'a> {
    /// Compares a file with its records.
    fn add(&mut self, file: &'a Migration, records: &BTreeMap<usize, &Record>) -> State {
        let known = self.differences.len();
        let is_complete = records
            .values()
            .any(|record| records.contains_key(&record.statements));
        for statement in &file.statements {
            match records.get(&statement.place.statement) {
                Some(record) if record.sql == statement.sql => self.applied.push(statement),
                Some(record) => self.change(&statement.place, &record.sql, &statement.sql),
                None if is_complete => self.change(&statement.place, "", &statement.sql),
                None => self.pending.push((file, statement)),
            }
        }
        for (number, record) in records.range(file.statements.len() + 1..) {
            let place = Place {
                name: Arc::clone(&file.name),
                line: file.statements.last().map_or(1, |last| last.place.line),
                statement: *number,
            };
            self.change(&place, &record.sql, "");
        }
        match records.len() {
            0 => State::Pending,
            _ if self.differences.len() > known => State::Changed,
            _ if !is_complete => State::Partial,
            _ if records.values().all(|record| record.is_baseline) => State::Baseline,
            _ => State::Applied,
        }
    }

    fn change(&mut self, place: &Place, applied: &str, file: &str) {
        self.differences.push(Difference::Changed {
            place: place.clone(),
            lines: lines(applied, file),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Migrations {
        Migrations::parse(files.iter().copied()).unwrap()
    }

    fn record(name: &str, (statement, statements): (usize, usize), sql: &str) -> Record {
        Record {
            name: name.to_owned(),
            statement,
            statements,
            sql: sql.to_owned(),
            is_baseline: false,
        }
    }

    fn differences(migrations: &Migrations, records: &[Record]) -> Vec<String> {
        let found = compare(migrations, records);
        found.differences.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pending_statements_are_those_without_records() {
        let migrations = files(&[("1_a.sql", "SELECT 1; SELECT 2"), ("2_b.sql", "SELECT 3")]);
        let records = [record("1_a", (1, 2), "SELECT 1")];
        let found = compare(&migrations, &records);
        let pending: Vec<_> = found.pending.iter().map(|(_, one)| &*one.sql).collect();
        assert_eq!(pending, ["SELECT 2", "SELECT 3"]);
        let states: Vec<_> = found.states.iter().map(|(_, state)| *state).collect();
        assert_eq!(states, [State::Partial, State::Pending]);
        assert_eq!(found.differences, []);
    }

    #[test]
    fn changed_statements_are_shown_line_by_line() {
        let migrations = files(&[("1_a.sql", "SELECT 1,\n  3;\nSELECT 2; SELECT 3")]);
        let records = [
            record("1_a", (1, 2), "SELECT 1,\n  2"),
            record("1_a", (2, 2), "SELECT 2"),
        ];
        assert_eq!(
            differences(&migrations, &records),
            [
                "1_a.sql:1: statement 1 has changed since it was applied; restore it, and write \
                 the change as a new migration\n    SELECT 1,\n  -   2\n  +   3",
                "1_a.sql:3: statement 3 has changed since it was applied; restore it, and write \
                 the change as a new migration\n  + SELECT 3",
            ]
        );
        let states = compare(&migrations, &records).states;
        assert_eq!(states, [("1_a".to_owned(), State::Changed)]);
        let shorter = files(&[("1_a.sql", "SELECT 1,\n  2")]);
        assert_eq!(
            differences(&shorter, &records),
            [
                "1_a.sql:1: statement 2 has changed since it was applied; restore it, and write \
                 the change as a new migration\n  - SELECT 2"
            ]
        );
    }

    #[test]
    fn unapplied_rest_of_a_file_may_change() {
        let migrations = files(&[("1_a.sql", "SELECT 1; SELECT 4; SELECT 5")]);
        let records = [record("1_a", (1, 2), "SELECT 1")];
        assert_eq!(compare(&migrations, &records).pending.len(), 2);
        assert_eq!(differences(&migrations, &records), [""; 0]);
    }

    #[test]
    fn missing_and_late_files_are_reported() {
        let migrations = files(&[("1_a.sql", "SELECT 1"), ("3_c.sql", "SELECT 3")]);
        let records = [
            record("2_b", (1, 1), "SELECT 2"),
            record("3_c", (1, 1), "SELECT 3"),
        ];
        assert_eq!(
            differences(&migrations, &records),
            [
                "1_a.sql was not applied and sorts before 3_c.sql, which was; give it a higher \
                 number, or allow this by --allow-out-of-order (Migrator::allow_out_of_order)",
                "2_b.sql was applied and is missing; restore it, or allow this by --allow-missing \
                 (Migrator::allow_missing)",
            ]
        );
    }
}
