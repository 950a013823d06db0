//! A manager for deadpool's pool.

use std::fmt;
use std::sync::Arc;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};

use crate::config::Config;
use crate::connection::{Checks, Connection, Opener};
use crate::error::Error;

/// A [`deadpool::managed::Manager`] for an Aurora DSQL cluster.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use dsql_conn::{Config, DeadpoolManager, deadpool::managed::Pool};
///
/// let manager = DeadpoolManager::new(Config::from_env()?);
/// let pool: Pool<DeadpoolManager> = Pool::builder(manager).max_size(5).build()?;
/// let games = pool.get().await?.query("SELECT title FROM games", &[]).await?;
/// # Ok(())
/// # }
/// ```
///
/// It has the same features as [`ConnectionManager`](crate::ConnectionManager) for bb8.
pub struct DeadpoolManager(Arc<Opener>);

impl DeadpoolManager {
    /// Makes a manager. Opens nothing yet.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Opener::new(config, Checks::default())))
    }
}

impl managed::Manager for DeadpoolManager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        self.0.open_alone().await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        let validated = connection.validate().await;
        validated.map_err(|reason| RecycleError::Backend(Error::Discarded(reason)))
    }
}

impl fmt::Debug for DeadpoolManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DeadpoolManager")
            .field(self.0.config())
            .finish()
    }
}
