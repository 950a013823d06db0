//! Runs transactions. Retries conflicts, but not an unknown outcome unless the policy allows it.
//!
//! Aurora DSQL detects conflicts when a transaction commits, and fails the later one with SQLSTATE
//! 40001. Every writer needs retries: [concurrency
//! control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).

mod attempt;
mod failed;
mod mode;
mod rollback;
mod run;

use std::fmt;
use std::ops::Deref;

pub use self::rollback::Rollback;
use self::run::{Single, run};
use crate::connection::Connection;
use crate::error::Error;
use crate::pool::Pool;
use crate::retry::RetryPolicy;

/// A transaction in progress, as its body sees it. Statements run through `Deref` to
/// [`Connection`].
///
/// A handle must not outlive the body. If one is still alive when the body returns, in a spawned
/// task for example, the transaction is not committed: [`Error::TransactionEscaped`].
///
/// The handle cannot begin the driver's own transactions or run schema changes, because both take
/// the connection by `&mut`:
///
/// ```compile_fail,E0596
/// # use dsql_conn::tokio_postgres::Client;
/// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
/// pool.transaction(async |mut tx| {
///     let inner = Client::transaction(&mut tx).await?;
///     inner.commit().await?;
///     Ok(())
/// }).await
/// # }
/// ```
pub struct Transaction(Connection);

impl Pool {
    /// Runs `body` in a transaction and commits it if the body returns `Ok`.
    ///
    /// ```no_run
    /// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
    /// const ADD: &str = "UPDATE account SET balance = balance + $1 WHERE id = $2";
    /// const TAKE: &str =
    ///     "UPDATE account SET balance = balance - $1 WHERE id = $2 RETURNING balance";
    ///
    /// let (from, to, amount) = (1_i64, 2_i64, 100_i64);
    /// let left: i64 = pool.transaction(async |tx| {
    ///     tx.execute(ADD, &[&amount, &to]).await?;
    ///     Ok(tx.query_one(TAKE, &[&amount, &from]).await?.get(0))
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the body returns an error, the transaction is rolled back and the error is returned.
    ///
    /// `BEGIN` is pipelined with the body's first statement. If the server refuses `BEGIN`, it
    /// refuses that statement and all later ones.
    ///
    /// # Retries
    ///
    /// The body runs again from its start, by the pool's
    /// [`retry_policy`](crate::Builder::retry_policy):
    ///
    /// - after a conflict at `BEGIN`, at a statement or at `COMMIT`, on the same connection. The
    ///   conflict is read from the server's replies, so a body that swallows or wraps the error is
    ///   retried, too;
    /// - after the connection was lost before `COMMIT` was sent, on another connection; the server
    ///   rolls the lost attempt back;
    /// - after a statement that failed because the server was unavailable, or no longer knew the
    ///   prepared statement.
    ///
    /// # What the body may do
    ///
    /// The body may do everything that is safe to repeat. It borrows the variables around it and
    /// does not consume them, sends no mail, and counts in variables of its own. It leaves `COMMIT`
    /// and `ROLLBACK` to this function, awaits each statement, and gives its handle to nothing that
    /// outlives the body.
    ///
    /// A statement that the body drops (a `timeout`, a `select`) stays part of the transaction,
    /// because the server continues with it. If the statement has not settled within
    /// [`settle_timeout`](crate::Builder::settle_timeout) after the body's end, nothing is
    /// committed and the connection is replaced.
    ///
    /// # Unknown outcomes
    ///
    /// If the connection is lost while `COMMIT` is in flight, the client cannot know whether the
    /// transaction was applied: [`Error::CommitUnknown`]. To retry in this case, make a second run
    /// harmless: write by a key that the caller chose, and declare that by
    /// [`RetryPolicy::idempotent`]. In this example the key comes with the request, and a second
    /// run finds the row of the first:
    ///
    /// ```no_run
    /// use dsql_conn::{Error, Pool, RetryPolicy};
    ///
    /// async fn create(pool: &Pool, key: &str, title: &str) -> Result<i64, Error> {
    ///     const INSERT: &str = "INSERT INTO games (request, title) VALUES ($1, $2) \
    ///                           ON CONFLICT (request) DO NOTHING";
    ///     const SELECT: &str = "SELECT id FROM games WHERE request = $1";
    ///     pool.transaction_with(RetryPolicy::new().idempotent(), async |tx| {
    ///         tx.execute(INSERT, &[&key, &title]).await?;
    ///         Ok(tx.query_one(SELECT, &[&key]).await?.get(0))
    ///     })
    ///     .await
    /// }
    /// ```
    ///
    /// If a later run fails, the outcome of the first stays unknown, and [`Error::CommitUnknown`]
    /// is returned. The key must come from the client that may repeat the request: a key that is
    /// generated here is new each time.
    ///
    /// # The closure
    ///
    /// The closure borrows the variables around it (`async |tx|`). `async move |tx|` does not
    /// compile, because the body must be able to run again. Nor does a body that changes a
    /// variable around it, such as `n += 1`. The compiler points at `async` and says the same of
    /// both:
    ///
    /// ```text
    /// error: async closure does not implement `Fn` because it captures state from its environment
    /// ```
    ///
    /// - Leave out `move`: the body borrows what it uses.
    /// - Count in a variable of the body, and return it. To count how often the body ran, use an
    ///   atomic number.
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
    /// ```compile_fail
    /// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
    /// let mut n = 0;
    /// pool.transaction(async |tx| {
    ///     n += 1;
    ///     tx.execute("DELETE FROM games", &[]).await?;
    ///     Ok(())
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    ///
    /// # async fn example(pool: dsql_conn::Pool) -> Result<(), dsql_conn::Error> {
    /// let runs = AtomicU32::new(0);
    /// let deleted = pool.transaction(async |tx| {
    ///     runs.fetch_add(1, Relaxed);
    ///     tx.execute("DELETE FROM games", &[]).await
    /// }).await?;
    /// println!("{deleted} games deleted, in run {}", runs.into_inner());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - The body's own error, and those of [`Pool::get`]: nothing was applied.
    /// - [`Error::Conflict`], [`Error::RolledBack`], [`Error::TransactionEscaped`],
    ///   [`Error::TransactionTimedOut`]: nothing was applied.
    /// - [`Error::Query`]: `COMMIT` was refused, nothing was applied.
    /// - [`Error::CommitUnknown`]: `COMMIT` was sent and no reply came.
    /// - [`Error::TransactionEnded`]: the body ran `COMMIT` or `ROLLBACK` itself, which decided the
    ///   outcome.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls the transaction back, unless its `COMMIT` was in flight: then its
    /// outcome is unknown.
    pub async fn transaction<T, F, Fut>(&self, body: F) -> Result<T, Error>
    where
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.transaction_with(self.retry_policy(), body).await
    }

    /// Runs `body` like [`Pool::transaction`], with a retry policy and an error type of the
    /// caller's choice. [`Rollback`] is an error type for bodies that roll back with a value or an
    /// error of their own.
    ///
    /// # Errors
    ///
    /// The body's own error, and those of [`Pool::transaction`], converted by `From`.
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
        run(self, policy, body).await
    }
}

/// Transactions on a connection that the caller owns: from bb8, from deadpool, or from
/// [`Config::connect`](crate::Config::connect).
impl Connection {
    /// Runs `body` in a transaction on this connection, like [`Pool::transaction`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), dsql_conn::Error> {
    /// let mut connection = dsql_conn::Config::from_env()?.connect().await?;
    /// connection.transaction(async |tx| {
    ///     tx.execute("INSERT INTO games (title) VALUES ('chess')", &[]).await?;
    ///     Ok(())
    /// }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Conflicts are retried. If the connection is lost, its error is returned, because there is no
    /// other connection.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::transaction`], except those of the checkout; [`Error::Discarded`] if a
    /// statement that was dropped before is still running, or a transaction is open.
    ///
    /// # Cancel safety
    ///
    /// That of [`Pool::transaction`].
    pub async fn transaction<T, F, Fut>(&mut self, body: F) -> Result<T, Error>
    where
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        self.transaction_with(RetryPolicy::default(), body).await
    }

    /// Runs `body` in a transaction on this connection, like [`Pool::transaction_with`].
    ///
    /// # Errors
    ///
    /// Those of [`Connection::transaction`], converted by `From`.
    ///
    /// # Cancel safety
    ///
    /// That of [`Pool::transaction`].
    pub async fn transaction_with<T, E, F, Fut>(
        &mut self,
        policy: RetryPolicy,
        body: F,
    ) -> Result<T, E>
    where
        E: From<Error>,
        F: Fn(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        run(Single::new(self), policy, body).await
    }
}

impl Transaction {
    fn on(connection: &Connection) -> Self {
        Self(connection.share())
    }
}

impl Clone for Transaction {
    fn clone(&self) -> Self {
        Self(self.0.share())
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.0).finish()
    }
}
