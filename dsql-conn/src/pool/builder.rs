//! Settings of a pool, and the presets for a server and for a Lambda function.

use std::{
    env,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bb8::QueueStrategy;
use tokio::sync::Semaphore;

use super::{Met, Pool, Shared};
use crate::{config::Config, error::Error, manager::ConnectionManager};

/// Settings of a [`Pool`]. By [`Pool::builder`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    pub(super) config: Config,
    pub(super) max_size: u32,
    pub(super) min_idle: u32,
    pub(super) idle_timeout: Option<Duration>,
}

impl Pool {
    /// Makes a pool for a server, by the defaults of its [`Builder`]. Opens the first connection when it is needed.
    pub fn new(config: Config) -> Self {
        Self::builder(config).build()
    }

    /// Makes a pool for a server and opens the first connection.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the pool.
    pub async fn connect(config: Config) -> Result<Self, Error> {
        Self::builder(config).connect().await
    }

    /// Makes a pool for a Lambda function: one connection, opened when it is needed, for the one invocation at a time that an
    /// execution environment serves; as many as `AWS_LAMBDA_MAX_CONCURRENCY` says where Lambda sets that. Idle connections are
    /// kept, and [`Config::connect_timeout`] defaults to 5 seconds.
    ///
    /// Take a connection once before the runtime starts, so that it is opened while the environment is initialized: that
    /// phase has the most CPU. Do not fail the initialization if that fails; the next checkout tries again.
    pub fn lambda(mut config: Config) -> Self {
        config.connect_timeout.get_or_insert(Duration::from_secs(5));
        let concurrency = env::var("AWS_LAMBDA_MAX_CONCURRENCY").ok();
        Self::builder(config)
            .max_size(concurrency.as_deref().map_or(1, invocations))
            .idle_timeout(None)
            .build()
    }

    /// Returns the process's pool for this configuration: the one that was made for an equal configuration on this runtime,
    /// or a new one by the defaults of its [`Builder`].
    ///
    /// Two configurations are equal if all their settings are; providers, resolvers, clocks and TLS configurations of the caller's only
    /// if one configuration is a clone of the other. A pool that was closed is not returned again.
    pub fn shared(config: Config) -> Self {
        Self::builder(config).shared()
    }

    /// Starts from the defaults for a server.
    pub fn builder(config: Config) -> Builder {
        Builder {
            config,
            max_size: 10,
            min_idle: 0,
            idle_timeout: Some(Duration::from_secs(600)),
        }
    }
}

impl Builder {
    /// Sets how many connections there may be at most. Defaults to 10; less than 1 counts as 1.
    pub fn max_size(mut self, max_size: u32) -> Self {
        self.max_size = max_size.max(1);
        self
    }

    /// Sets how many idle connections are kept ready, from the first checkout on. Defaults to 0; never more than
    /// [`max_size`](Self::max_size).
    pub fn min_idle(mut self, min_idle: u32) -> Self {
        self.min_idle = min_idle;
        self
    }

    /// Sets after how long an idle connection is closed, to the half minute. Defaults to 10 minutes; `None` keeps them; less
    /// than a second counts as one.
    pub fn idle_timeout(mut self, idle_timeout: impl Into<Option<Duration>>) -> Self {
        let idle_timeout = idle_timeout.into();
        self.idle_timeout = idle_timeout.map(|timeout| timeout.max(Duration::from_secs(1)));
        self
    }

    /// Makes the pool. Nothing is opened yet.
    pub fn build(self) -> Pool {
        let manager = ConnectionManager::new(self.config.clone());
        Pool(Arc::new(Shared {
            connections: OnceLock::new(),
            permits: Arc::new(Semaphore::new(
                (self.max_size as usize).min(Semaphore::MAX_PERMITS),
            )),
            settings: self,
            dialer: manager.dialer,
            met: Met::default(),
        }))
    }

    /// Makes the pool and opens the first connection.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::get`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the pool.
    pub async fn connect(self) -> Result<Pool, Error> {
        let pool = self.build();
        drop(pool.get().await?);
        Ok(pool)
    }

    pub(super) fn bb8(&self, manager: ConnectionManager) -> bb8::Pool<ConnectionManager> {
        bb8::Pool::builder()
            .max_size(self.max_size)
            .min_idle(self.min_idle.min(self.max_size))
            .idle_timeout(self.idle_timeout)
            // The warmest first: what is idle for long is pinged before it is lent.
            .queue_strategy(QueueStrategy::Lifo)
            // Dialing again, deadlines and age are this crate's: bb8's failures reach nobody, its clock stands still in a
            // frozen Lambda.
            .retry_connection(false)
            .connection_timeout(Duration::MAX)
            .max_lifetime(None)
            .build_unchecked(manager)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let Self {
            config,
            max_size,
            min_idle,
            idle_timeout,
        } = self;
        *config == other.config
            && *max_size == other.max_size
            && *min_idle == other.min_idle
            && *idle_timeout == other.idle_timeout
    }
}

/// Reads how many invocations run at a time in one execution environment of Lambda, by the runtime's own variable. One, if it holds
/// no number: a pool that waits is better than a function that does not start.
fn invocations(variable: &str) -> u32 {
    variable
        .trim()
        .parse()
        .unwrap_or(1)
        .clamp(1, MOST_INVOCATIONS)
}

/// More connections than any environment has use for.
const MOST_INVOCATIONS: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_has_a_connection_for_each_invocation_at_a_time() {
        let read = ["1", "16", " 8 ", "0", "", "-1", "many", "4294967295"].map(invocations);
        assert_eq!(read, [1, 16, 8, 1, 1, 1, 1, 1_000]);
    }
}
