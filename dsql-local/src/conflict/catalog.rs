//! The catalog that a session has cached, as far as OC001 depends on it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::schema::Schema;
use crate::sql::names::Names;
use crate::sql::rules::Kind;

/// A session's cached catalog.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// The schema's version at the latest statement. `None` before the first.
    known: Option<u64>,
    /// The schema's version when the session last used each table.
    tables: BTreeMap<String, u64>,
    /// The schema's version when the transaction began.
    begun: Option<u64>,
    /// The tables that the transaction used.
    used: Vec<String>,
    /// The names in the definitions that are in flight.
    defining: VecDeque<Names>,
    /// The names in the transaction's definition, if it completed.
    defined: Option<Names>,
    /// A notice reported that the definition in flight had nothing to do.
    skips: bool,
}

impl Catalog {
    /// Returns whether the cached catalog is stale for a statement, and refreshes it. BEGIN and
    /// ROLLBACK read no catalog.
    pub(crate) fn is_stale(
        &mut self,
        kind: Kind,
        names: &Names,
        schema: &Schema,
        now: Duration,
    ) -> bool {
        let version = schema.version();
        match kind {
            Kind::Begin => {
                self.begun.get_or_insert(version);
                return false;
            }
            Kind::Rollback => {
                self.ended();
                return false;
            }
            _ => {}
        }
        let known = self.known.replace(version).unwrap_or(version);
        let mut is_stale = schema.fails_all(known);
        match kind {
            Kind::Definition => self.defining.push_back(names.clone()),
            Kind::Commit => {
                let begun = self.begun.unwrap_or(version);
                is_stale |=
                    (self.used.iter()).any(|table| schema.names(table, begun, Duration::ZERO));
                let used = self.used.drain(..);
                self.tables.extend(used.map(|table| (table, version)));
                self.ended();
            }
            _ => {
                for table in names.tables() {
                    let used = self.tables.insert(table.to_owned(), version);
                    let recent = now.saturating_sub(LONGEST_STALE);
                    is_stale |= used.is_some_and(|used| schema.names(table, used, recent));
                    if let Some(begun) = self.begun {
                        is_stale |= schema.names(table, begun, Duration::ZERO);
                        self.used.push(table.to_owned());
                    }
                }
            }
        }
        is_stale
    }

    fn ended(&mut self) {
        self.begun = None;
        self.used.clear();
    }

    /// Takes a notice: IF EXISTS and IF NOT EXISTS report a definition that changes nothing.
    pub(crate) fn noticed(&mut self, message: &str) {
        self.skips |= message.ends_with(", skipping");
    }

    /// Takes the command tag of a completed statement.
    pub(crate) fn completed(&mut self, tag: &str, schema: &Schema, now: Duration) {
        let skipped = std::mem::take(&mut self.skips);
        match tag.split(' ').next() {
            Some("COMMIT") => self.committed(schema, now),
            Some("ROLLBACK") => self.defined = None,
            Some("CREATE" | "ALTER" | "DROP" | "GRANT" | "REVOKE" | "COMMENT" | "AWS") => {
                let names = self.defining.pop_front().unwrap_or_default();
                if !skipped || schema.counts_unchanged() {
                    self.defined = Some(names);
                }
            }
            _ => {}
        }
    }

    /// Takes an error.
    pub(crate) fn failed(&mut self) {
        self.defined = None;
        self.skips = false;
        self.defining.clear();
    }

    /// Takes the status of a `ReadyForQuery`, which commits an implicit transaction.
    pub(crate) fn ready(&mut self, status: u8, schema: &Schema, now: Duration) {
        if status == b'I' {
            self.committed(schema, now);
        }
    }

    fn committed(&mut self, schema: &Schema, now: Duration) {
        if let Some(names) = self.defined.take() {
            let own: Vec<_> = (self.tables.iter())
                .filter(|(table, used)| {
                    names.has(table) && !schema.names(table, **used, Duration::ZERO)
                })
                .map(|(table, _)| table.clone())
                .collect();
            let version = schema.change(Some(names), now);
            // The session knows its own definition, but not one that was committed in between.
            if self.known == Some(version - 1) {
                self.known = Some(version);
            }
            self.tables
                .extend(own.into_iter().map(|table| (table, version)));
        }
    }
}

/// A [`Catalog`] that both directions of a session hold.
#[derive(Debug, Default)]
pub(crate) struct SharedCatalog(Mutex<Catalog>);

impl SharedCatalog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Catalog> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a definition can fail statements outside of a transaction. A guess.
const LONGEST_STALE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conflict::schema::SchemaConflicts;
    use crate::sql::rules;
    use crate::sql::statement::split;

    fn stale(catalog: &mut Catalog, schema: &Schema, sql: &str) -> bool {
        let statements = split(sql);
        let kind = rules::check(&statements[0]).kind;
        catalog.is_stale(kind, &Names::of(&statements[0]), schema, Duration::ZERO)
    }

    fn define(catalog: &mut Catalog, schema: &Schema, sql: &str) {
        assert!(!stale(catalog, schema, sql), "{sql}");
        catalog.completed("CREATE TABLE", schema, Duration::ZERO);
        catalog.ready(b'I', schema, Duration::ZERO);
    }

    #[test]
    fn every_fails_other_sessions_once() {
        let schema = Schema::new(SchemaConflicts::Every);
        let (mut one, mut two) = (Catalog::default(), Catalog::default());
        let both = |one: &mut Catalog, two: &mut Catalog| {
            [one, two].map(|catalog| stale(catalog, &schema, "SHOW x"))
        };
        assert_eq!(both(&mut one, &mut two), [false, false]);
        one.completed("CREATE TABLE", &schema, Duration::ZERO);
        assert_eq!(both(&mut one, &mut two), [false, false]);
        one.ready(b'I', &schema, Duration::ZERO);
        assert!(!stale(&mut two, &schema, "BEGIN"));
        assert_eq!(both(&mut one, &mut two), [false, true]);
        assert_eq!(both(&mut one, &mut two), [false, false]);
        for end in ["ROLLBACK", "COMMIT"] {
            one.completed("AWS IAM GRANT", &schema, Duration::ZERO);
            one.ready(b'T', &schema, Duration::ZERO);
            one.completed(end, &schema, Duration::ZERO);
            one.ready(b'I', &schema, Duration::ZERO);
            assert_eq!(both(&mut one, &mut two), [false, end == "COMMIT"]);
        }
        one.completed("DROP TABLE", &schema, Duration::ZERO);
        one.failed();
        one.ready(b'I', &schema, Duration::ZERO);
        assert_eq!(both(&mut one, &mut two), [false, false]);
    }

    #[test]
    fn realistic_fails_sessions_that_used_the_table() {
        let schema = Schema::new(SchemaConflicts::Realistic);
        for (definition, statement, expected) in [
            ("ALTER TABLE t ADD COLUMN a int", "SELECT * FROM t", true),
            (
                "ALTER TABLE public.T ADD COLUMN a int",
                "INSERT INTO \"t\" VALUES (1)",
                true,
            ),
            (
                "GRANT SELECT ON t TO r",
                "SELECT 1 FROM u JOIN public.t USING (id)",
                true,
            ),
            (
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO r",
                "DELETE FROM t",
                true,
            ),
            ("CREATE INDEX ASYNC ON t (a)", "UPDATE t SET a = 1", true),
            ("DROP TABLE IF EXISTS u, t", "SELECT 1 FROM u, t", true),
            ("ALTER TABLE u ADD COLUMN a int", "SELECT * FROM t", false),
            ("CREATE ROLE r", "SELECT * FROM t", false),
            ("ALTER TABLE t ADD COLUMN a int", "SHOW timezone", false),
            (
                "ALTER TABLE t ADD COLUMN a int",
                "SELECT * FROM pg_catalog.t",
                false,
            ),
            (
                "ALTER TABLE t ADD COLUMN a int",
                "CREATE INDEX ASYNC ON t (a)",
                false,
            ),
        ] {
            let (mut one, mut two, mut new) = Default::default();
            assert!(!stale(&mut two, &schema, statement));
            define(&mut one, &schema, definition);
            assert_eq!(
                stale(&mut two, &schema, statement),
                expected,
                "{definition}; {statement}"
            );
            assert!(!stale(&mut two, &schema, statement), "twice: {statement}");
            assert!(!stale(&mut new, &schema, statement), "new: {statement}");
        }
    }

    #[test]
    fn definitions_after_begin_fail_the_transaction() {
        let schema = Schema::new(SchemaConflicts::Realistic);
        for (before, after) in [("SELECT 1", "SELECT * FROM t"), ("DELETE FROM t", "COMMIT")] {
            let (mut one, mut two) = <(Catalog, Catalog)>::default();
            assert!(!stale(&mut two, &schema, "BEGIN"));
            assert!(!stale(&mut two, &schema, before));
            define(&mut one, &schema, "ALTER TABLE t ADD COLUMN a int");
            assert!(stale(&mut two, &schema, after), "{after}");
            assert!(!stale(&mut two, &schema, "ROLLBACK"));
            assert!(!stale(&mut two, &schema, "SELECT * FROM t"));
        }
    }

    #[test]
    fn definitions_that_change_nothing_fail_no_session() {
        let schema = Schema::new(SchemaConflicts::Realistic);
        let (mut one, mut two) = <(Catalog, Catalog)>::default();
        assert!(!stale(&mut two, &schema, "SELECT * FROM t"));
        one.noticed("relation \"t\" already exists, skipping");
        define(&mut one, &schema, "CREATE TABLE IF NOT EXISTS t (id int)");
        assert!(!stale(&mut two, &schema, "SELECT * FROM t"));
        define(&mut one, &schema, "CREATE TABLE IF NOT EXISTS t (id int)");
        assert!(!two.is_stale(
            Kind::Other,
            &Names::of(&split("SELECT * FROM t")[0]),
            &schema,
            LONGEST_STALE * 2
        ));
    }
}
