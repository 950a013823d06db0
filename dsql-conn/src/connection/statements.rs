//! Remembers prepared statements, so that the plain line costs one round trip once it is warm.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio_postgres::{Error, Row, Statement, types::ToSql};

use super::Connection;
use crate::outcome;

/// What a statement method of [`Connection`] takes: the text of a query, or a statement that was prepared before.
pub trait Query: sealed::Sealed + Sync {}

impl Query for str {}
impl Query for String {}
impl Query for Statement {}

#[expect(
    unnameable_types,
    reason = "the trait is closed: what it takes is what the driver can run"
)]
mod sealed {
    use tokio_postgres::Statement;

    pub trait Sealed {
        fn kind(&self) -> Kind<'_>;
    }

    #[derive(Debug)]
    pub enum Kind<'a> {
        Text(&'a str),
        Prepared(&'a Statement),
    }

    impl Sealed for str {
        fn kind(&self) -> Kind<'_> {
            Kind::Text(self)
        }
    }

    impl Sealed for String {
        fn kind(&self) -> Kind<'_> {
            Kind::Text(self)
        }
    }

    impl Sealed for Statement {
        fn kind(&self) -> Kind<'_> {
            Kind::Prepared(self)
        }
    }
}

/// The statements of the driver's client, with a cache: a text is prepared at its first use on a connection and then sent in
/// one round trip. A statement that the server has forgotten, or whose result changed its columns, is prepared anew and run again,
/// because it had not run; inside a transaction, which it has doomed, it fails, and [`Pool::transaction`](crate::Pool::transaction)
/// runs the whole body again.
///
/// # Cancel safety
///
/// As with the driver's own, a statement whose future is dropped after its first poll may run all the same.
impl Connection {
    /// Runs a query and returns its rows. Like [`Client::query`](tokio_postgres::Client::query).
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn query<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        let run = |statement| async move { (**self).query(&statement, params).await };
        self.run(query, run).await
    }

    /// Runs a query that returns exactly one row. Like [`Client::query_one`](tokio_postgres::Client::query_one).
    ///
    /// # Errors
    ///
    /// The driver's; also if there is no row or more than one.
    pub async fn query_one<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row, Error> {
        let run = |statement| async move { (**self).query_one(&statement, params).await };
        self.run(query, run).await
    }

    /// Runs a query that returns one row or none. Like [`Client::query_opt`](tokio_postgres::Client::query_opt).
    ///
    /// # Errors
    ///
    /// The driver's; also if there is more than one row.
    pub async fn query_opt<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        let run = |statement| async move { (**self).query_opt(&statement, params).await };
        self.run(query, run).await
    }

    /// Runs a statement and returns how many rows it changed. Like [`Client::execute`](tokio_postgres::Client::execute).
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn execute<Q: ?Sized + Query>(
        &self,
        query: &Q,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let run = |statement| async move { (**self).execute(&statement, params).await };
        self.run(query, run).await
    }

    /// Returns the prepared statement of this text, from the cache if it was prepared on this connection before.
    ///
    /// # Errors
    ///
    /// The driver's.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses at most the preparation.
    pub async fn prepare_cached(&self, query: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(query) {
            return Ok(statement);
        }
        let statement = self.prepare(query).await?;
        self.statements.put(query, statement.clone());
        Ok(statement)
    }

    async fn run<T, Q, F, Fut>(&self, query: &Q, run: F) -> Result<T, Error>
    where
        Q: ?Sized + Query,
        F: Fn(Statement) -> Fut,
        Fut: Future<Output = Result<T, Error>>,
    {
        let text = match query.kind() {
            sealed::Kind::Prepared(statement) => return run(statement.clone()).await,
            sealed::Kind::Text(text) => text,
        };
        let is_in_transaction = self.watch.is_in_transaction();
        let result = run(self.prepare_cached(text).await?).await;
        match result {
            Err(error) if is_outdated(&error) => {
                if is_in_transaction {
                    // One of them for each run of the transaction would be too many runs.
                    self.statements.clear();
                    return Err(error);
                }
                self.statements.forget(text);
                run(self.prepare_cached(text).await?).await
            }
            result => result,
        }
    }
}

/// Whether the server refused to run a statement for being prepared too long ago.
fn is_outdated(error: &Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|error| outcome::is_outdated(error.code().code(), error.message()))
}

/// The prepared statements of one connection, by their text.
#[derive(Default)]
pub(super) struct Statements(Mutex<Cache>);

#[derive(Default)]
struct Cache {
    entries: HashMap<String, Entry>,
    /// Counts uses, to tell the least recent one.
    uses: u64,
}

struct Entry {
    statement: Statement,
    last_use: u64,
}

impl Statements {
    fn get(&self, query: &str) -> Option<Statement> {
        let mut cache = self.lock();
        cache.uses += 1;
        let now = cache.uses;
        let entry = cache.entries.get_mut(query)?;
        entry.last_use = now;
        Some(entry.statement.clone())
    }

    fn put(&self, query: &str, statement: Statement) {
        let mut cache = self.lock();
        if cache.entries.len() >= CAPACITY {
            let oldest = cache.entries.iter().min_by_key(|(_, entry)| entry.last_use);
            let oldest = oldest.map(|(query, _)| query.clone());
            oldest.and_then(|query| cache.entries.remove(&query));
        }
        cache.uses += 1;
        let last_use = cache.uses;
        let entry = Entry {
            statement,
            last_use,
        };
        cache.entries.insert(query.to_owned(), entry);
    }

    fn forget(&self, query: &str) {
        self.lock().entries.remove(query);
    }

    fn clear(&self) {
        self.lock().entries.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than most programs have; few enough that a program which writes values into its texts does no harm.
const CAPACITY: usize = 256;
