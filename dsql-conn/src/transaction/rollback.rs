//! Lets a body roll back with a value or an error of its own.

use std::error::Error as StdError;
use std::fmt;

use crate::error::Error;

/// Why a body does not commit: a database error, or a reason of its own.
///
/// `?` converts this crate's errors and the driver's. [`Rollback::with`] rolls back with a value of
/// any type.
///
/// ```no_run
/// # async fn example(pool: dsql_conn::Pool, game: i64) -> Result<(), dsql_conn::Error> {
/// use dsql_conn::{RetryPolicy, Rollback};
///
/// struct SoldOut;
///
/// let bought = pool.transaction_with(RetryPolicy::new(), async |tx| {
///     let row = tx.query_one("SELECT copies FROM games WHERE id = $1", &[&game]).await?;
///     if row.try_get::<_, i64>(0)? == 0 {
///         return Err(Rollback::with(SoldOut));
///     }
///     tx.execute("UPDATE games SET copies = copies - 1 WHERE id = $1", &[&game]).await?;
///     Ok(())
/// });
/// match bought.await {
///     Ok(()) => println!("bought"),
///     Err(Rollback::With(SoldOut)) => println!("sold out"),
///     Err(Rollback::Error(error)) => return Err(error),
/// }
/// # Ok(())
/// # }
/// ```
pub enum Rollback<T> {
    /// This crate's error, or the driver's.
    Error(Error),
    /// The body's own reason.
    With(T),
}

impl<T> Rollback<T> {
    /// Rolls back with the body's own reason.
    pub fn with(reason: T) -> Self {
        Self::With(reason)
    }
}

impl<T> From<Error> for Rollback<T> {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl<T> From<tokio_postgres::Error> for Rollback<T> {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Error(error.into())
    }
}

impl<T: fmt::Display> fmt::Display for Rollback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::With(reason) => reason.fmt(f),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Rollback<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => fmt::Debug::fmt(error, f),
            Self::With(reason) => reason.fmt(f),
        }
    }
}

impl<T: StdError + 'static> StdError for Rollback<T> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Error(error) => error.source(),
            Self::With(reason) => reason.source(),
        }
    }
}
