//! Finds the process's pool for a configuration.
//!
//! For programs whose parts cannot hand a pool to each other. A pool belongs to the runtime that drives its connections, and
//! so does its place here.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, Id};

use super::{Builder, Pool};

/// A pool that was made here, and the runtime that it was made on.
struct Entry {
    pool: Pool,
    runtime: Option<Id>,
}

impl Builder {
    /// Returns the process's pool for these settings on this runtime, and makes it if there is none. See [`Pool::shared`].
    pub fn shared(self) -> Pool {
        let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
        let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|entry| !entry.pool.0.permits.is_closed());
        let known = pools
            .iter()
            .find(|entry| entry.runtime == runtime && entry.pool.0.settings.is_same(&self));
        if let Some(entry) = known {
            return entry.pool.clone();
        }
        let pool = self.build();
        pools.push(Entry {
            pool: pool.clone(),
            runtime,
        });
        pool
    }
}

static POOLS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
