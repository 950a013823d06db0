//! A manager for bb8's pool.

use std::fmt;
use std::sync::Arc;

use bb8::RunError;

use crate::config::Config;
use crate::connection::{Checks, Connection, Opener};
use crate::error::Error;
use crate::shared::SharedPools;

/// A [`bb8::ManageConnection`] for an Aurora DSQL cluster.
///
/// ```no_run
/// # async fn example() -> Result<(), dsql_conn::Error> {
/// use dsql_conn::{Config, ConnectionManager, bb8};
///
/// let manager = ConnectionManager::new(Config::from_env()?);
/// let pool = bb8::Pool::builder().max_size(5).build(manager).await?;
/// let mut connection = pool.get().await?;
/// connection.transaction(async |tx| {
///     tx.execute("INSERT INTO games (title) VALUES ('chess')", &[]).await?;
///     Ok(())
/// }).await?;
/// # Ok(())
/// # }
/// ```
///
/// Its connections have signed tokens, verified TLS, a lifetime by the wall clock, cached
/// statements and [transactions](Connection::transaction). Keep `test_on_check_out` on, as it is by
/// default: it validates connections, without a round trip if they were used recently.
/// [`Pool`](crate::Pool) adds fairness, specific errors at once, and `close`.
pub struct ConnectionManager(Arc<Opener>);

impl ConnectionManager {
    /// Makes a manager. Opens nothing yet.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Opener::new(config, Checks::default())))
    }

    /// Returns the process's bb8 pool for this configuration and runtime, with bb8's defaults.
    /// Equal configurations share it: see [`Pool::shared`](crate::Pool::shared).
    pub fn shared_pool(config: Config) -> bb8::Pool<Self> {
        static POOLS: SharedPools<Config, bb8::Pool<ConnectionManager>> = SharedPools::new();
        POOLS.get_or_make(
            config,
            |config| config,
            Config::eq,
            |_| false,
            |config| bb8::Pool::builder().build_unchecked(Self::new(config.clone())),
        )
    }
}

impl bb8::ManageConnection for ConnectionManager {
    type Connection = Connection;
    type Error = Error;

    async fn connect(&self) -> Result<Connection, Error> {
        // bb8 loses the slot of an opening that panics.
        self.0.open_alone().await
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Error> {
        connection.validate().await.map_err(Error::Discarded)
    }

    /// A statement may still be queued in the driver, so only the next checkout decides whether the
    /// connection is clean.
    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.is_worn()
    }
}

impl From<RunError<Self>> for Error {
    fn from(error: RunError<Self>) -> Self {
        match error {
            RunError::User(error) => error,
            RunError::TimedOut => Self::CheckoutTimeout {
                waited: None,
                cause: None,
            },
        }
    }
}

impl fmt::Debug for ConnectionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionManager")
            .field(self.0.config())
            .finish()
    }
}
