//! Keeps pools for the life of the process, one for each configuration and runtime.

use std::sync::{Mutex, PoisonError};

use tokio::runtime::{Handle, Id};

use crate::config::Config;
use crate::telemetry::event;

/// Pools of one kind, and the settings that they were made from.
pub(crate) struct SharedPools<K, P>(Mutex<Vec<Entry<K, P>>>);

struct Entry<K, P> {
    key: K,
    pool: P,
    /// Connection tasks end with their runtime.
    runtime: Option<Id>,
}

impl<K, P: Clone> SharedPools<K, P> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Returns the pool that was made on this runtime from an equal key, or makes it.
    pub(crate) fn get_or_make(
        &self,
        key: K,
        config: impl Fn(&K) -> &Config,
        is_same: impl Fn(&K, &K) -> bool,
        is_closed: impl Fn(&P) -> bool,
        make: impl FnOnce(&K) -> P,
    ) -> P {
        let runtime = Handle::try_current().ok().map(|runtime| runtime.id());
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|entry| !is_closed(&entry.pool));
        let known = pools
            .iter()
            .find(|entry| entry.runtime == runtime && is_same(&entry.key, &key));
        if let Some(entry) = known {
            return entry.pool.clone();
        }
        if pools.len() >= MANY {
            event::many_shared_pools(pools.len() + 1, config(&key).endpoint().host());
        }
        let pool = make(&key);
        pools.push(Entry {
            key,
            pool: pool.clone(),
            runtime,
        });
        pool
    }
}

/// More clusters and users than most programs connect to.
const MANY: usize = 16;
