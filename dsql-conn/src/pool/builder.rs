//! Settings of a pool, and presets for servers and Lambda functions.

#[cfg(test)]
mod tests;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Inner, Pool, Slots};
use crate::config::{Config, FOREVER, FUNCTION_NAME, PoolVariables};
use crate::connection::{Checks, Opener};
use crate::error::Error;
use crate::retry::RetryPolicy;
use crate::telemetry::PoolLimits;

/// Settings of a [`Pool`]. Created by [`Pool::builder`] or [`Pool::lambda`].
#[derive(Debug, Clone)]
#[must_use]
pub struct Builder {
    pub(super) config: Config,
    pub(super) max_size: u32,
    pub(super) min_idle: u32,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) checkout_timeout: Duration,
    pub(super) retry_policy: RetryPolicy,
    checks: Checks,
    name: Option<String>,
}

impl Pool {
    /// Makes a pool for a server, with the settings of [`Pool::builder`]. Opens nothing yet.
    pub fn new(config: Config) -> Self {
        Self::builder(config).build()
    }

    /// Makes a pool for a server, with the settings of [`Pool::builder`], and opens the first
    /// connection.
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

    /// Starts from the settings for a Lambda function, which may be changed as any others:
    ///
    /// | setting | value |
    /// |---|---|
    /// | [`max_size`](Builder::max_size) | `AWS_LAMBDA_MAX_CONCURRENCY`, else 1 |
    /// | [`idle_timeout`](Builder::idle_timeout) | none |
    /// | [`checkout_timeout`](Builder::checkout_timeout) | 5 s |
    /// | [`connect_timeout`](Config::connect_timeout), unless set | 5 s |
    /// | [`application_name`](Config::application_name), unless set | `AWS_LAMBDA_FUNCTION_NAME` |
    /// | [`retry_policy`](Builder::retry_policy) | [`timeout`](RetryPolicy::timeout) of 10 s |
    ///
    /// The variables of a pool that [`Config::from_env`] read, such as
    /// `DSQL_CHECKOUT_TIMEOUT_SECONDS`, replace these settings.
    ///
    /// If the function's own timeout is shorter, set these timeouts below it, so that the function
    /// can still respond.
    ///
    /// ```no_run
    /// # fn example() -> Result<(), dsql_conn::Error> {
    /// use std::time::Duration;
    /// use dsql_conn::{Config, Pool, RetryPolicy};
    ///
    /// // The function's timeout is 3 s, Lambda's default.
    /// let pool = Pool::lambda(Config::from_env()?.connect_timeout(Duration::from_secs(1)))
    ///     .checkout_timeout(Duration::from_millis(1500))
    ///     .retry_policy(RetryPolicy::new().timeout(Duration::from_millis(2500)))
    ///     .build();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Check out a connection once before the runtime starts. It is then opened during
    /// initialization, when the function has the most CPU. If this checkout fails, do not fail the
    /// initialization: the next checkout tries again.
    pub fn lambda(config: Config) -> Builder {
        let connect_timeout = config.connect_timeout.unwrap_or(LAMBDA_TIMEOUT);
        let concurrency = env::var("AWS_LAMBDA_MAX_CONCURRENCY").ok();
        let function = env::var(FUNCTION_NAME).ok().filter(|name| !name.is_empty());
        let config = config.named_after(function.as_deref());
        Self::defaults(config.connect_timeout(connect_timeout))
            .max_size(concurrency.as_deref().map_or(1, invocations))
            .idle_timeout(None)
            .checkout_timeout(LAMBDA_TIMEOUT)
            .retry_policy(RetryPolicy::new().timeout(2 * LAMBDA_TIMEOUT))
            .with_variables()
    }

    /// Starts from the defaults for a server. [`Config::from_env`] brings the variables of a pool,
    /// such as `DSQL_POOL_MAX_SIZE`, which replace defaults.
    pub fn builder(config: Config) -> Builder {
        Self::defaults(config).with_variables()
    }

    fn defaults(config: Config) -> Builder {
        Builder {
            config,
            max_size: 10,
            min_idle: 0,
            idle_timeout: Some(Duration::from_secs(600)),
            checkout_timeout: Duration::from_secs(30),
            retry_policy: RetryPolicy::new(),
            checks: Checks::default(),
            name: None,
        }
    }
}

impl Builder {
    /// Sets the maximum number of connections. Defaults to 10; 0 counts as 1.
    pub fn max_size(mut self, max_size: u32) -> Self {
        self.max_size = max_size.max(1);
        self
    }

    /// Sets how many idle connections are kept ready, from the first checkout on. Defaults to 0;
    /// never more than [`max_size`](Self::max_size).
    pub fn min_idle(mut self, min_idle: u32) -> Self {
        self.min_idle = min_idle;
        self
    }

    /// Sets how long a connection may be idle before it is closed, with a precision of 5 seconds.
    /// Defaults to 10 minutes; `None` keeps idle connections; less than a second counts as one.
    pub fn idle_timeout(mut self, idle_timeout: impl Into<Option<Duration>>) -> Self {
        let idle_timeout = idle_timeout.into();
        self.idle_timeout = idle_timeout.map(|timeout| timeout.max(Duration::from_secs(1)));
        self
    }

    /// Sets how long a checkout waits for a connection. Defaults to 30 seconds.
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.checkout_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how long a connection may be unused before a checkout pings the server. Defaults to 30
    /// seconds.
    pub fn ping_after(mut self, idle: Duration) -> Self {
        self.checks.ping_after = idle.min(FOREVER);
        self
    }

    /// Sets how long the reply to a ping may take before the connection is closed. Defaults to 1
    /// second.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.checks.ping_timeout = timeout.min(FOREVER);
        self
    }

    /// Sets how long the reply to a ping may take before the pool opens another connection. The
    /// checkout gets the one that is ready first. Defaults to a few measured round trips, at least
    /// 50 ms.
    pub fn hedge_delay(mut self, delay: Duration) -> Self {
        self.checks.hedge_delay = Some(delay.min(FOREVER));
        self
    }

    /// Sets how long a checkout, or the end of a transaction, waits for a statement that its caller
    /// dropped or did not await. After that a checkout skips the connection, or closes it if all
    /// others are in use, because the server cannot cancel a statement. Defaults to a few measured
    /// round trips, at least 100 ms.
    pub fn settle_timeout(mut self, timeout: Duration) -> Self {
        self.checks.settle_timeout = Some(timeout.min(FOREVER));
        self
    }

    /// Sets the pool's name in spans and metrics, `db.client.connection.pool.name`. Defaults to
    /// `host:port/database`, with `|schema` if the configuration has a search path.
    ///
    /// If several pools have the same endpoint and schema, give each a name: otherwise their
    /// metrics are mixed.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the policy of [`Pool::transaction`]. Defaults to [`RetryPolicy::new`].
    pub fn retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.retry_policy = policy;
        self
    }

    /// Makes the pool. Opens nothing yet.
    pub fn build(self) -> Pool {
        let max_size = usize::try_from(self.max_size).unwrap_or(usize::MAX);
        Pool(Arc::new(Inner {
            opener: Arc::new(Opener::of_pool(
                self.config.clone(),
                self.checks,
                self.name.clone(),
                PoolLimits {
                    max: self.max_size,
                    min_idle: self.min_idle.min(self.max_size),
                },
            )),
            slots: Mutex::new(Slots::new(max_size)),
            settings: self,
            closed: CancellationToken::new(),
            maintenance: Arc::new(Notify::new()),
            maintainer: Mutex::default(),
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

    pub(super) fn min_idle_connections(&self) -> usize {
        usize::try_from(self.min_idle.min(self.max_size)).unwrap_or(usize::MAX)
    }

    /// Puts what `Config::from_env` read for a pool over the settings.
    fn with_variables(mut self) -> Self {
        // Destructured, so that a new variable does not compile until it is used.
        let PoolVariables {
            max_size,
            min_idle,
            idle_timeout,
            checkout_timeout,
            ping_after,
            ping_timeout,
        } = self.config.pool;
        if let Some(max_size) = max_size {
            self = self.max_size(max_size);
        }
        if let Some(min_idle) = min_idle {
            self = self.min_idle(min_idle);
        }
        if let Some(timeout) = idle_timeout {
            self = self.idle_timeout(timeout);
        }
        if let Some(timeout) = checkout_timeout {
            self = self.checkout_timeout(timeout);
        }
        if let Some(idle) = ping_after {
            self = self.ping_after(idle);
        }
        if let Some(timeout) = ping_timeout {
            self = self.ping_timeout(timeout);
        }
        self
    }

    /// Returns whether both would make the same pool.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        // Destructured, so that a new setting does not compile until it is compared.
        let Self {
            config,
            max_size,
            min_idle,
            idle_timeout,
            checkout_timeout,
            retry_policy,
            checks,
            name,
        } = self;
        *config == other.config
            && *max_size == other.max_size
            && *min_idle == other.min_idle
            && *idle_timeout == other.idle_timeout
            && *checkout_timeout == other.checkout_timeout
            && *retry_policy == other.retry_policy
            && *checks == other.checks
            && *name == other.name
    }
}

/// Returns how many invocations an execution environment serves at a time, by Lambda's variable.
/// Returns 1 if that is not a number: a small pool is better than a function that does not start.
fn invocations(variable: &str) -> u32 {
    variable
        .trim()
        .parse()
        .unwrap_or(1)
        .clamp(1, MAX_INVOCATIONS)
}

/// More connections than any execution environment needs.
const MAX_INVOCATIONS: u32 = 1_000;

const LAMBDA_TIMEOUT: Duration = Duration::from_secs(5);
