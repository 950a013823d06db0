//! The process's pool for a configuration.

use super::{Builder, Pool};
use crate::config::Config;
use crate::shared::SharedPools;

impl Pool {
    /// Returns the process's pool for this configuration: the one that was made for an equal
    /// configuration on this runtime, or a new one with the defaults of its [`Builder`]. For
    /// programs whose parts cannot hand a pool to each other.
    ///
    /// Two configurations are equal if all their settings are. Credentials providers, resolvers,
    /// clocks and TLS configurations count as equal only if one configuration is a clone of the
    /// other: **a provider that is built for each request makes a pool for each request**. Build
    /// the configuration once and clone it. A pool that was closed is not returned again.
    pub fn shared(config: Config) -> Self {
        Self::builder(config).shared()
    }
}

impl Builder {
    /// Returns the process's pool for these settings on this runtime, and makes it if there is
    /// none. See [`Pool::shared`].
    pub fn shared(self) -> Pool {
        POOLS.get_or_make(
            self,
            |builder| &builder.config,
            Self::is_same,
            Pool::is_closed,
            |builder| builder.clone().build(),
        )
    }
}

static POOLS: SharedPools<Builder, Pool> = SharedPools::new();
