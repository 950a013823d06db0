//! Decides which definitions make a statement of another session fail with OC001, once.
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
//! Only a rule by table fits these reports and AWS's examples. A statement fails if
//!
//! - it reads or writes a user's table, and is no definition itself; and
//! - another session's definition changed something, names the table, and was committed after this
//!   session last used it, or after the statement's transaction began; and
//! - outside of such a transaction, the definition is at most ten minutes old.
//!
//! COMMIT counts as using the transaction's tables. A GRANT on a table names it; one on all tables
//! of a schema, and DROP SCHEMA, name every table; CREATE ROLE names none. A session
//! fails only by definitions of tables that it used before.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::sql::names::Names;

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

/// A cluster's schema: the number of its version, and the latest definitions.
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
    /// The tables that the definition names. `None` fails every session.
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

    /// Adds a version, and returns its number. Without names it fails the next statement of every
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

    /// Returns the current version.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    /// Returns whether a definition after this version fails every session.
    pub(super) fn fails_all(&self, known: u64) -> bool {
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
    pub(super) fn names(&self, table: &str, known: u64, since: Duration) -> bool {
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

    /// Returns whether definitions that changed nothing count.
    pub(super) fn counts_unchanged(&self) -> bool {
        self.conflicts == SchemaConflicts::Every
    }

    fn definitions(&self) -> MutexGuard<'_, VecDeque<Definition>> {
        self.definitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

const MOST_DEFINITIONS: usize = 1_024;
