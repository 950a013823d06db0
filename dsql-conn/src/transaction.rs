//! Runs transactions: again after a conflict, never again when the outcome is in doubt.
//!
//! Aurora DSQL finds conflicts when a transaction commits and answers the losers with SQLSTATE 40001, so that every writer
//! needs a retry:
//! [concurrency control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).

mod attempt;

use std::{
    fmt,
    ops::{ControlFlow, Deref},
    sync::Arc,
};

use self::attempt::{Attempt, Failed};
use crate::{
    connection::Connection,
    error::Error,
    pool::{Pool, PooledConnection},
    retry::{Cause, RetryPolicy},
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
    /// If the body returns an error, the transaction is rolled back and the error returned as it is.
    ///
    /// `BEGIN` travels with the body's first statement; if it is refused, so are that statement and all that follow.
    ///
    /// # What runs again
    ///
    /// The body, from its start, by the default [`RetryPolicy`]:
    ///
    /// - after a conflict at `BEGIN`, at a statement or at `COMMIT`, on the same connection. That is read off the server's answers, so
    ///   that it holds for a body that swallows or renames the error, too;
    /// - after its connection was lost before `COMMIT` was sent, on another one; the server then rolls back;
    /// - after a statement that the server was unavailable for, or whose preparation it had forgotten.
    ///
    /// # What the body may do
    ///
    /// Whatever is fit to be done twice: it borrows its surroundings and does not consume them, sends no mail, and counts in
    /// variables of its own. It leaves `COMMIT` and `ROLLBACK` to this function, awaits each statement, and gives its handle to nothing
    /// that outlives it. A statement that it gives up (a `timeout`, a `select`) is part of the transaction all the
    /// same, because the server goes on with it; if it has not come to its end within [`Config::settle_timeout`](crate::Config::settle_timeout)
    /// of the body's, nothing is committed and the connection is replaced.
    ///
    /// # What an unknown outcome asks for
    ///
    /// When the connection is lost while `COMMIT` is under way, nobody can tell whether it was applied, and this function does not
    /// guess: [`Error::CommitUnknown`]. To go on, make the second run harmless: write by a key that the caller chose, and say so by
    /// [`RetryPolicy::idempotent`]. A request to create a game brings its key; a second run finds the first one's row:
    ///
    /// ```no_run
    /// use dsql_conn::{Error, Pool, RetryPolicy};
    ///
    /// async fn create(pool: &Pool, key: &str, title: &str) -> Result<i64, Error> {
    ///     const INSERT: &str = "INSERT INTO games (request, title) VALUES ($1, $2) ON CONFLICT (request) DO NOTHING";
    ///     const SELECT: &str = "SELECT id FROM games WHERE request = $1";
    ///     pool.transaction_with(RetryPolicy::new().idempotent(), async |tx| {
    ///         tx.execute(INSERT, &[&key, &title]).await?;
    ///         Ok(tx.query_one(SELECT, &[&key]).await?.get(0))
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// If a later run fails, too, the outcome of the first stays unknown, and that is the error.
    ///
    /// The key must come from whoever would ask again, such as a client that got no answer: a key that is drawn in here is a new one
    /// each time.
    ///
    /// # How it is written
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
    /// - [`Error::Conflict`], [`Error::RolledBack`], [`Error::TransactionEscaped`], [`Error::TransactionTimedOut`]: nothing was applied.
    /// - [`Error::Query`]: `COMMIT` was refused, nothing was applied.
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
        // An outcome that stays unknown, whatever becomes of later attempts.
        let mut doubt = None;
        let error = loop {
            // The same connection while it lives: the schema change behind a conflict is known to it now, another one would
            // meet it anew.
            let connection = match kept.take() {
                Some(connection) => connection,
                None => match self.get_within(retries.left()).await {
                    Ok(connection) => Arc::new(connection),
                    Err(error) => break error.into(),
                },
            };
            let attempt = Attempt::on(connection).run(&body, retries.deadline());
            let (cause, error, connection) = match attempt.await {
                Ok(value) => return Ok(value),
                Err(Failed::For(error)) => break error,
                Err(Failed::InTime) => {
                    let error = Error::TransactionTimedOut {
                        after: retries.elapsed(),
                        attempts: retries.attempts(),
                    };
                    break error.into();
                }
                Err(Failed::ByConflict(conflict, connection)) => {
                    let cause = Cause::of_conflict(&conflict.message);
                    let error = Error::Conflict {
                        attempts: retries.attempts(),
                        last: conflict.message,
                    };
                    (cause, error.into(), connection)
                }
                Err(Failed::ByChance(cause, error, connection)) => (cause, error, connection),
            };
            self.met(cause);
            let again = tokio::select! {
                biased;
                again = retries.again(cause) => again,
                () = self.closed() => ControlFlow::Continue(()),
            };
            if again.is_break() {
                break error;
            }
            if cause == Cause::Unknown {
                doubt.get_or_insert(error);
            }
            // A pool that has closed gives none for the next attempt, and says so.
            kept = connection.filter(|_| !self.is_closed());
        };
        Err(doubt.unwrap_or(error))
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
