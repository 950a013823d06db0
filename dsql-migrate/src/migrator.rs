//! The migrator: its settings and its methods.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::connect::Connect;
use crate::error::Error;
use crate::history::History;
use crate::migration::{Migration, Migrations};
use crate::progress::{Progress, Report, Status};
use crate::run::Run;
use crate::settings::{Observer, Settings};

/// Applies migrations to a cluster. Any number of migrators may run at once.
///
/// ```no_run
/// # async fn example(config: dsql_conn::Config) -> Result<(), dsql_migrate::Error> {
/// use dsql_migrate::{Migrations, Migrator};
///
/// let migrator = Migrator::new(Migrations::from_folder("migrations")?);
/// let report = migrator.up(&config).await?;
/// for step in report.done() {
///     println!("{} {}", step.outcome, step.place);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Migrator(Settings);

impl Migrator {
    /// Creates a migrator with the default settings.
    pub fn new(migrations: Migrations) -> Self {
        Self(Settings::new(migrations))
    }

    /// Sets the table of the history, which the search path finds. It is created if it is missing.
    /// Defaults to `dsql_migrations`.
    pub fn history(mut self, table: impl Into<String>) -> Self {
        self.0.history = History::new(None, table.into());
        self
    }

    /// Sets the table of the history and its schema. Both are created if they are missing. Defaults
    /// to `dsql_migrations`, which the search path finds.
    pub fn history_in(mut self, schema: impl Into<String>, table: impl Into<String>) -> Self {
        self.0.history = History::new(Some(schema.into()), table.into());
        self
    }

    /// Allows files of applied migrations to be missing. Defaults to refusing them.
    pub fn allow_missing(mut self) -> Self {
        self.0.allows_missing = true;
        self
    }

    /// Applies migrations that sort before one that was applied. Defaults to refusing them.
    pub fn allow_out_of_order(mut self) -> Self {
        self.0.allows_out_of_order = true;
        self
    }

    /// Sets how long to wait before this migrator takes over a statement that another one began and
    /// did not finish. Defaults to 2 seconds.
    ///
    /// After a migrator was killed, another one waits that long. Shorter times are safe, too: if
    /// two migrators run the same statement, they meet conflicts, and then wait longer each time.
    pub fn takeover_after(mut self, time: Duration) -> Self {
        self.0.takeover_after = time;
        self
    }

    /// Calls a function before each step, with that step. Defaults to none.
    pub fn observer(mut self, observer: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.0.observer = Some(Observer(Arc::new(observer)));
        self
    }

    /// Applies all pending statements, waits for their background jobs, and records them.
    ///
    /// Conflicts with other sessions are retried for about 20 seconds without any progress, and
    /// lost connections are opened again. There is no other deadline, because the build of an index
    /// may take hours.
    ///
    /// # Errors
    ///
    /// - [`Error::Differs`] if the files are not those that were applied.
    /// - [`Error::Statement`] or [`Error::Job`] if a statement failed.
    /// - [`Error::Connect`], [`Error::History`] or [`Error::Busy`] if the cluster could not be
    ///   used.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the applied statements applied, and the next run continues there.
    /// If the client was given by reference, it may still be in a transaction: close it.
    pub async fn up(&self, connect: impl Connect) -> Result<Report, Error> {
        Run::new(&self.0, connect).up().await
    }

    /// Compares the files with the history. Changes nothing, and needs no table.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`], [`Error::History`] or [`Error::Busy`] if the history cannot be read.
    ///
    /// # Cancel safety
    ///
    /// This method is cancel safe.
    pub async fn status(&self, connect: impl Connect) -> Result<Status, Error> {
        Run::new(&self.0, connect).status().await
    }

    /// Records the statements of all migrations up to this one, given by its name or its number,
    /// and does not run them: the schema exists already.
    ///
    /// # Errors
    ///
    /// - [`Error::NoMigration`] if no migration has this name or number.
    /// - [`Error::Differs`] if the files are not those that were applied.
    /// - [`Error::Connect`], [`Error::History`] or [`Error::Busy`] if the cluster could not be
    ///   used.
    ///
    /// # Cancel safety
    ///
    /// Some of the statements may be recorded when the future is dropped. Calling it again records
    /// the rest.
    pub async fn baseline(&self, connect: impl Connect, through: &str) -> Result<Report, Error> {
        let is_named = |file: &&Migration| {
            &*file.name == through
                || through
                    .parse()
                    .is_ok_and(|number: u64| number == file.number)
        };
        let Some(last) = self.0.migrations.files.iter().find(is_named) else {
            return Err(Error::NoMigration(through.to_owned()));
        };
        Run::new(&self.0, connect).baseline(last.number).await
    }
}

impl fmt::Debug for Migrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrator")
            .field("migrations", &self.0.migrations)
            .field("history", &self.0.history.table())
            .finish_non_exhaustive()
    }
}
