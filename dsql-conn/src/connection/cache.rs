//! Caches prepared statements by their text.

use std::collections::HashMap;
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

    pub(super) fn clear(&self) {
        self.lock().by_text.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than most programs use. A program that writes values into its texts must not fill the
/// memory.
const CAPACITY: usize = 256;
