//! Which definitions make a statement of another session fail with OC001, once.
//!
//! # What is known
//!
//! - The service's documentation: a session with a cached catalog "can receive" OC001 when it next
//!   interacts with storage, if its transaction "can't safely rebase".
//! - Live reports: a definition or GRANT of another session failed the next statement, reads and
//!   `BEGIN READ ONLY` included, or COMMIT; once; even if the definition was committed before the
//!   transaction began, milliseconds to minutes earlier. The retry in the same session succeeded.
//! - AWS's own examples and connector suites define tables and use them through pools, with no
//!   retry or with three attempts, and pass on real clusters.
//!
//! # What [`SchemaConflicts::Realistic`] guesses
//!
//! Only a rule by table fits both. A statement fails if
//!
//! - it reads or writes a user's table, and is no definition itself; and
//! - another session's definition changed something, names the table, and was committed after this
//!   session last used it, or after the statement's transaction began; and
//! - outside of such a transaction, the definition is at most ten minutes old.
//!
//! COMMIT counts as using the transaction's tables. A GRANT on a table names it; one on all tables
//! of a schema, and DROP SCHEMA, name every table; CREATE ROLE names none. A table that a session
//! never used is no news to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use names::Names;

use crate::rules::Kind;

mod names;

/// Which definitions fail statements of other sessions, with
/// [`Refusal::SchemaChanged`](crate::Refusal::SchemaChanged).
///
/// Evidence: live reports of sessions that failed once after any definition or GRANT of another
/// session, reads included, minutes later; and AWS's own examples and connector suites, which
/// define tables, use them through pools and hardly retry. [`Realistic`](Self::Realistic) is a
/// guess that fits both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaConflicts {
    /// None.
    Off,
    /// Statements on tables that a definition names, if the definition changed something and the
    /// session used the table before it, or its transaction began before it. Not other definitions,
    /// and not statements on no user's table. Outside of a transaction a definition counts for ten
    /// minutes.
    Realistic,
    /// Every definition fails the next statement of every other session, once. For tests of
    /// retries.
    Every,
}

/// `true` is [`Every`](SchemaConflicts::Every), `false` is [`Off`](SchemaConflicts::Off).
impl From<bool> for SchemaConflicts {
    fn from(every: bool) -> Self {
        if every { Self::Every } else { Self::Off }
    }
}

impl std::str::FromStr for SchemaConflicts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "realistic" => Ok(Self::Realistic),
            "every" => Ok(Self::Every),
            _ => Err("choose off, realistic or every".to_owned()),
        }
    }
}

/// A cluster's schema, by number of its version.
#[derive(Debug)]
pub(crate) struct Schema {
    version: AtomicU64,
    conflicts: SchemaConflicts,
    definitions: Mutex<VecDeque<Definition>>,
}

/// A definition that changed something.
#[derive(Debug)]
struct Definition {
    version: u64,
    at: Duration,
    /// `None` fails everybody, as if every definition did.
    names: Option<Names>,
}

impl Schema {
    pub(crate) fn new(conflicts: SchemaConflicts) -> Self {
        Self {
            version: AtomicU64::new(0),
            conflicts,
            definitions: Mutex::default(),
        }
    }

    /// Makes a new version, and returns it. Without names it fails the next statement of every
    /// session.
    pub(crate) fn change(&self, names: Option<Names>, at: Duration) -> u64 {
        let mut definitions = self.definitions();
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        if definitions.len() == MOST_DEFINITIONS {
            definitions.pop_front();
        }
        definitions.push_back(Definition { version, at, names });
        version
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Returns whether a definition after this version fails everybody.
    fn fails_everybody(&self, known: u64) -> bool {
        match self.conflicts {
            SchemaConflicts::Off => false,
            SchemaConflicts::Every => known < self.version(),
            SchemaConflicts::Realistic => self
                .definitions()
                .iter()
                .any(|definition| definition.version > known && definition.names.is_none()),
        }
    }

    /// Returns whether a definition after this version, and since this time, names the table.
    fn names(&self, table: &str, known: u64, since: Duration) -> bool {
        self.conflicts == SchemaConflicts::Realistic
            && self.definitions().iter().any(|definition| {
                definition.version > known
                    && definition.at >= since
                    && definition
                        .names
                        .as_ref()
                        .is_some_and(|names| names.has(table))
            })
    }

    fn definitions(&self) -> MutexGuard<'_, VecDeque<Definition>> {
        self.definitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a session knows of the schema.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// The version at its last statement. None before the first.
    known: Option<u64>,
    /// The versions of the tables when it last used them.
    tables: BTreeMap<String, u64>,
    /// The version when its transaction began.
    begun: Option<u64>,
    /// The tables that the transaction used.
    used: Vec<String>,
    /// What the definitions name that are in flight.
    defining: VecDeque<Names>,
    /// The transaction has defined something.
    defined: Option<Names>,
    /// The definition in flight finds what it defines.
    skips: bool,
}

impl Catalog {
    /// Returns whether a statement meets an old catalog, which is new afterwards. What opens and
    /// what drops a transaction needs no catalog.
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
        let mut is_stale = schema.fails_everybody(known);
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

    /// Takes a notice: a definition with IF EXISTS or IF NOT EXISTS may have nothing to do.
    pub(crate) fn noticed(&mut self, message: &str) {
        self.skips |= message.ends_with(", skipping");
    }

    /// Takes the tag of a statement that completed.
    pub(crate) fn completed(&mut self, tag: &str, schema: &Schema, now: Duration) {
        let skipped = std::mem::take(&mut self.skips);
        match tag.split(' ').next() {
            Some("COMMIT") => self.committed(schema, now),
            Some("ROLLBACK") => self.defined = None,
            Some("CREATE" | "ALTER" | "DROP" | "GRANT" | "REVOKE" | "COMMENT" | "AWS") => {
                let names = self.defining.pop_front().unwrap_or_default();
                if !skipped || schema.conflicts == SchemaConflicts::Every {
                    self.defined = Some(names);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn failed(&mut self) {
        self.defined = None;
        self.skips = false;
        self.defining.clear();
    }

    /// Takes the engine's word that a flight is over: an implicit transaction was committed.
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
            // Its own definition is no news to a session; what another one did meanwhile is.
            if self.known == Some(version - 1) {
                self.known = Some(version);
            }
            self.tables
                .extend(own.into_iter().map(|table| (table, version)));
        }
    }
}

/// How long a session that is not in a transaction may fail by a definition. A guess.
const LONGEST_STALE: Duration = Duration::from_secs(600);
const MOST_DEFINITIONS: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules;
    use crate::statement::split;

    fn stale(catalog: &mut Catalog, schema: &Schema, sql: &str) -> bool {
        let statements = split(sql);
        let kind = rules::judge(&statements[0]).kind;
        catalog.is_stale(kind, &Names::of(&statements[0]), schema, Duration::ZERO)
    }

    fn define(catalog: &mut Catalog, schema: &Schema, sql: &str) {
        assert!(!stale(catalog, schema, sql), "{sql}");
        catalog.completed("CREATE TABLE", schema, Duration::ZERO);
        catalog.ready(b'I', schema, Duration::ZERO);
    }

    #[test]
    fn every_definition_is_news_to_others_and_only_once() {
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
    fn a_definition_is_news_to_those_who_used_its_table() {
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
    fn a_transaction_fails_by_what_was_defined_since_its_begin() {
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
    fn a_definition_that_finds_nothing_to_do_is_no_news() {
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
