//! Runs statements. Every statement method of this crate passes [`Connection::timed`].

use std::pin::pin;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Row, SimpleQueryMessage, Statement};
use tracing::Instrument;

use super::Connection;
use super::query::{Kind, Query};
use crate::error::{Error, is_row_count, was_not_sent};
use crate::sqlstate::{Meaning, ServerError};
use crate::telemetry::{ErrorType, Operation};

/// Statements.
///
/// `query`, `query_one`, `query_opt` and `execute` cache what they prepare: a text is prepared at
/// its first use on a connection and costs one round trip from then on. If the server no longer
/// knows the statement, or its columns or parameters have changed, the statement did not run. It is
/// prepared again and run once more. Inside a transaction the server's refusal fails the
/// transaction, and [`Pool::transaction`](crate::Pool::transaction) runs the whole body again.
/// `query_typed` and `execute_typed` prepare nothing and always cost one round trip.
///
/// # Errors
///
/// - [`Error::Query`] if the server refused the statement, the connection was lost, or the
///   parameters do not fit.
/// - [`Error::StatementTimeout`] after
///   [`Config::statement_timeout`](crate::Config::statement_timeout).
///
/// # Cancel safety
///
/// The server cannot cancel a statement. One whose future is dropped after its first poll may run
/// to its end.
impl Connection {
    /// Runs a query and returns its rows.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn query<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let run = |statement| async move { self.client().query(&statement, params).await };
        self.run(query, run).await
    }

    /// Runs a query that returns exactly one row.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1); also [`Error::NoRow`] and [`Error::SeveralRows`].
    pub async fn query_one<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        self.query_opt(query, params).await?.ok_or(Error::NoRow)
    }

    /// Runs a query that returns at most one row.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1); also [`Error::SeveralRows`].
    pub async fn query_opt<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        let run = |statement| async move { self.client().query_opt(&statement, params).await };
        self.run(query, run).await.map_err(several_rows)
    }

    /// Runs a statement and returns how many rows it changed.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn execute<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let run = |statement| async move { self.client().execute(&statement, params).await };
        self.run(query, run).await
    }

    /// Runs a query whose parameter types are given, without preparing it, and returns its rows.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn query_typed(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let run = || self.client().query_typed(query, params);
        self.observed(Some(query), run).await
    }

    /// Runs a query like [`query_typed`](Self::query_typed) that returns exactly one row.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1); also [`Error::NoRow`] and [`Error::SeveralRows`].
    pub async fn query_typed_one(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row, Error> {
        let row = self.query_typed_opt(query, params).await?;
        row.ok_or(Error::NoRow)
    }

    /// Runs a query like [`query_typed`](Self::query_typed) that returns at most one row.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1); also [`Error::SeveralRows`].
    pub async fn query_typed_opt(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, Error> {
        let run = || self.client().query_typed_opt(query, params);
        self.observed(Some(query), run).await.map_err(several_rows)
    }

    /// Runs a statement whose parameter types are given, without preparing it, and returns how many
    /// rows it changed.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn execute_typed(
        &self,
        statement: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<u64, Error> {
        let run = || self.client().execute_typed(statement, params);
        self.observed(Some(statement), run).await
    }

    /// Runs statements without parameters, separated by semicolons.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn batch_execute(&self, statements: &str) -> Result<(), Error> {
        let run = || self.client().batch_execute(statements);
        self.observed(Some(statements), run).await
    }

    /// Runs statements without parameters, separated by semicolons, and returns their rows as text.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn simple_query(&self, statements: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
        let run = || self.client().simple_query(statements);
        self.observed(Some(statements), run).await
    }

    /// Returns the prepared statement of this text, from the cache if it was prepared on this
    /// connection before.
    ///
    /// If its columns or parameters have changed since then, running it fails. Call this method
    /// again, which then prepares it again. A transaction whose statement the server refused for
    /// that reason runs again by itself.
    ///
    /// # Errors
    ///
    /// See [above](#impl-Connection-1).
    pub async fn prepare_cached(&self, query: &str) -> Result<Statement, Error> {
        let prepare = || async { Ok(self.prepared(query).await?.statement) };
        self.timed(prepare).await
    }

    async fn run<T, Q, F, Fut>(&self, query: &Q, run: F) -> Result<T, Error>
    where
        Q: ?Sized + Query,
        F: Fn(Statement) -> Fut,
        Fut: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let text = match query.kind() {
            Kind::Prepared(statement) => {
                let result = self.observed(None, || run(statement.clone())).await;
                if let Err(Error::Query(error)) = &result {
                    self.forget_stale(statement, error);
                }
                return result;
            }
            Kind::Text(text) => text,
        };
        let run = || async {
            let is_in_transaction = self.watch().is_in_transaction();
            let Prepared {
                statement,
                from_cache,
            } = self.prepared(text).await?;
            let error = match run(statement).await {
                Err(error) if from_cache => error,
                result => return result,
            };
            if refuses_plan(&error) {
                if is_in_transaction {
                    // Drop all statements: each stale one would cost the transaction another
                    // attempt.
                    self.session.cache.clear();
                    return Err(error);
                }
            } else if !was_not_sent(&error) {
                return Err(error);
            }
            self.session.cache.forget(text);
            run(self.prepared(text).await?.statement).await
        };
        self.observed(Some(text), run).await
    }

    /// Forgets a statement of [`prepare_cached`](Self::prepare_cached) that no longer fits its
    /// tables. A caller's own mistake looks the same if a parameter does not fit, so the other
    /// statements stay then.
    fn forget_stale(&self, statement: &Statement, error: &tokio_postgres::Error) {
        let is_refused = refuses_plan(error);
        if !is_refused && !was_not_sent(error) {
            return;
        }
        let was_cached = self.session.cache.forget_statement(statement);
        if was_cached && is_refused && self.watch().is_in_transaction() {
            // As for a text: each stale one would cost the transaction another attempt.
            self.session.cache.clear();
        }
    }

    async fn prepared(&self, query: &str) -> Result<Prepared, tokio_postgres::Error> {
        if let Some(statement) = self.session.cache.get(query) {
            return Ok(Prepared {
                statement,
                from_cache: true,
            });
        }
        let statement = self.client().prepare(query).await?;
        self.session.cache.put(query, statement.clone());
        Ok(Prepared {
            statement,
            from_cache: false,
        })
    }

    /// Runs a statement of this text, if it is known, and observes it. Takes a function that starts
    /// the statement: the driver's futures take a kilobyte, and each call that takes one by value
    /// copies it twice.
    async fn observed<T, Fut>(
        &self,
        text: Option<&str>,
        statement: impl FnOnce() -> Fut,
    ) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let operation = Operation::statement(self.server(), text);
        let run = pin!(self.timed(statement));
        let span = operation.span();
        let result = match span.is_disabled() {
            true => run.await,
            false => run.instrument(span).await,
        };
        operation.ended(result.as_ref().err().map(ErrorType::from));
        result
    }

    /// Runs a statement within the connection's timeout. A statement that takes longer gets a
    /// moment to settle; otherwise the connection is closed.
    async fn timed<T, Fut>(&self, statement: impl FnOnce() -> Fut) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let Some(timeout) = self.statement_timeout else {
            return Ok(statement().await?);
        };
        let reply = {
            let statement = pin!(statement());
            self.replied_within(timeout, statement).await
        };
        if let Some(result) = reply {
            return Ok(result?);
        }
        // The statement is dropped, so the driver skips its rows. If it still does not read on, the
        // unread rows are those of another query.
        let unread_rows = self.has_unread_rows().await;
        if !self.settle().await {
            self.abort();
        }
        Err(Error::StatementTimeout {
            after: timeout,
            unread_rows,
        })
    }
}

/// A prepared statement, and whether it was prepared before.
struct Prepared {
    statement: Statement,
    from_cache: bool,
}

/// Names the error of a query that may return one row at most. The driver uses the same one for no
/// row, which these methods accept.
fn several_rows(error: Error) -> Error {
    match error {
        Error::Query(error) if is_row_count(&error) => Error::SeveralRows,
        error => error,
    }
}

/// Returns whether the server refused to run a statement because it was prepared too long ago.
fn refuses_plan(error: &tokio_postgres::Error) -> bool {
    ServerError::of(error).is_some_and(|error| error.meaning() == Meaning::StalePlan)
}
