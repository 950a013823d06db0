//! Runs transactions: again after a conflict, never again when the outcome is in doubt.
//!
//! Aurora DSQL finds conflicts when a transaction commits and answers the losers with SQLSTATE 40001, so that every writer
//! needs a retry:
//! [concurrency control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).

mod attempt;

use std::{fmt, ops::Deref, sync::Arc};

use self::attempt::{Attempt, Failed};
use crate::{
    connection::Connection,
    error::Error,
    pool::{Pool, PooledConnection},
    retry::RetryPolicy,
};

/// A transaction under way, handed to the body. Statements run through `Deref` to [`Connection`].
///
/// It must not outlive the body: a handle that is still alive then, in a spawned task for example, keeps the transaction
/// from being committed ([`Error::TransactionEscaped`]).
#[derive(Clone)]
pub struct Transaction {
    connection: Arc<PooledConnection>,
}

impl Pool {
    /// Runs `body` in a transaction and commits it if the body returns `Ok`.
    ///
    /// ```no_run
    /// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
    /// let (from, to, amount) = (1_i64, 2_i64, 100_i64);
    /// let left: i64 = pool.transaction(async |tx| {
    ///     tx.execute("UPDATE account SET balance = balance + $1 WHERE id = $2", &[&amount, &to]).await?;
    ///     let row = tx
    ///         .query_one("UPDATE account SET balance = balance - $1 WHERE id = $2 RETURNING balance", &[&amount, &from])
    ///         .await?;
    ///     Ok(row.get(0))
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The body runs again, from its start and on the same connection, whenever a statement or the `COMMIT` met a conflict:
    /// whatever else it does must be fit to be done twice. That is read off the server's answers, so that it holds for a
    /// body that swallows or renames the error, too. If the body returns an error, the transaction is rolled back and the
    /// error returned as it is.
    ///
    /// The closure borrows its surroundings (`async |tx|`); `async move |tx|` does not compile, because the body must be
    /// able to run again:
    ///
    /// ```compile_fail
    /// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
    /// let name = String::from("chess");
    /// pool.transaction(async move |tx| {
    ///     tx.execute("INSERT INTO games (title) VALUES ($1)", &[&name]).await?;
    ///     Ok(())
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - The body's own, and those of [`Pool::get`]: nothing was applied.
    /// - [`Error::Conflict`], [`Error::RolledBack`], [`Error::TransactionEscaped`]: nothing was applied.
    /// - [`Error::Query`]: `BEGIN` or `COMMIT` was refused, nothing was applied.
    /// - [`Error::CommitUnknown`]: `COMMIT` was sent and no answer came.
    /// - [`Error::TransactionEnded`]: the body's own `COMMIT` or `ROLLBACK` decided.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls the transaction back, unless its `COMMIT` was under way: then its outcome is unknown.
    pub async fn transaction<T, F, Fut>(&self, body: F) -> Result<T, Error>
    where
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.transaction_with(RetryPolicy::default(), body).await
    }

    /// Runs `body` in a transaction as [`Pool::transaction`] does, with a retry policy and an error type of the caller's.
    ///
    /// # Errors
    ///
    /// The body's own as it is; those of [`Pool::transaction`] converted by `From`.
    ///
    /// # Cancel safety
    ///
    /// That of [`Pool::transaction`].
    pub async fn transaction_with<T, E, F, Fut>(&self, policy: RetryPolicy, body: F) -> Result<T, E>
    where
        E: From<Error>,
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut retries = policy.start();
        let mut kept = None;
        loop {
            // The same connection while it lives: the schema change behind a conflict is known to it now, another one would
            // meet it anew.
            let connection = match kept.take() {
                Some(connection) => connection,
                None => Arc::new(self.get().await?),
            };
            let conflict = match Attempt::on(connection).run(&body).await {
                Ok(value) => return Ok(value),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::ByConflict(conflict, connection)) => {
                    kept = connection;
                    conflict
                }
            };
            if retries.again().await.is_break() {
                return Err(Error::Conflict {
                    attempts: retries.attempts(),
                    last: conflict.message,
                }
                .into());
            }
        }
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction")
            .field(&self.connection)
            .finish()
    }
}
