//! Caches prepared statements by their text.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::Statement;

/// The prepared statements of one connection, by their text.
#[derive(Default)]
pub(super) struct StatementCache(Mutex<Entries>);

#[derive(Default)]
struct Entries {
    by_text: HashMap<String, Entry>,
    /// Counts uses, to find the least recent one.
    uses: u64,
}

struct Entry {
    statement: Statement,
    last_use: u64,
}

impl StatementCache {
    pub(super) fn get(&self, query: &str) -> Option<Statement> {
        let mut entries = self.lock();
        entries.uses += 1;
        let now = entries.uses;
        let entry = entries.by_text.get_mut(query)?;
        entry.last_use = now;
        Some(entry.statement.clone())
    }

    pub(super) fn put(&self, query: &str, statement: Statement) {
        let mut entries = self.lock();
        if entries.by_text.len() >= CAPACITY {
            let oldest = entries
                .by_text
                .iter()
                .min_by_key(|(_, entry)| entry.last_use);
            let oldest = oldest.map(|(query, _)| query.clone());
            oldest.and_then(|query| entries.by_text.remove(&query));
        }
        entries.uses += 1;
        let last_use = entries.uses;
        let entry = Entry {
            statement,
            last_use,
        };
        entries.by_text.insert(query.to_owned(), entry);
    }

    pub(super) fn forget(&self, query: &str) {
        self.lock().by_text.remove(query);
    }

    /// Forgets this very statement. Returns whether it was in the cache.
    pub(super) fn forget_statement(&self, statement: &Statement) -> bool {
        let mut entries = self.lock();
        let known = entries.by_text.len();
        entries
            .by_text
            .retain(|_, entry| !is_same(&entry.statement, statement));
        entries.by_text.len() < known
    }

    pub(super) fn clear(&self) {
        self.lock().by_text.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether two handles are of one prepared statement. The driver does not expose its name.
/// Statements that have neither parameters nor columns all look the same, and forgetting too many
/// only costs round trips.
fn is_same(one: &Statement, other: &Statement) -> bool {
    ptr::eq(one.params(), other.params()) && ptr::eq(one.columns(), other.columns())
}

/// More than most programs use. A program that writes values into its texts must not fill the
/// memory.
const CAPACITY: usize = 256;
