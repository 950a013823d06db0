//! Applies one statement and records it.

mod job;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::catalog;
use crate::error::Error;
use crate::failure::Failure;
use crate::migration::{Migration, Statement};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::statement::{Effect, Kind};

/// One statement, and what is needed to apply it.
#[derive(Clone, Copy)]
pub(crate) struct Apply<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) client: &'a Client,
    pub(crate) migration: &'a Migration,
    pub(crate) statement: &'a Statement,
}

impl Apply<'_> {
    /// Returns whether this run applied the statement. Otherwise another migrator did.
    pub(crate) async fn apply(self) -> Result<bool, Failure> {
        self.notice(Progress::Checking);
        let has = self.settings.history.has(self.client, self.statement);
        if has.await.map_err(|source| self.history_failed(source))? {
            return Ok(false);
        }
        match &self.statement.kind {
            Kind::Change => return self.change().await.map(|()| true),
            Kind::Definition => self.define().await?,
            Kind::Effect(effect) => self.cause(effect).await?,
            Kind::Index(index) => self.build(index).await?,
            Kind::Validation { table, constraint } => self.validate(table, constraint).await?,
        }
        self.record().await?;
        Ok(true)
    }

    /// Runs DML in one transaction with its record: both are applied, once, or none is.
    async fn change(self) -> Result<(), Failure> {
        self.notice(Progress::Applying);
        let changed = async {
            self.send("BEGIN").await?;
            let run = self.client.query_typed(&self.statement.sql, &[]);
            run.await.map_err(|source| self.failed(source))?;
            self.record().await?;
            self.send("COMMIT").await
        };
        let changed = changed.await;
        if changed.is_err() && !self.client.is_closed() {
            // Fails only if the connection is lost, which ends the transaction as well.
            let _ = self.client.batch_execute("ROLLBACK").await;
        }
        changed
    }

    async fn send(self, command: &str) -> Result<(), Failure> {
        let sent = self.client.batch_execute(command).await;
        sent.map_err(|source| self.failed(source))
    }

    /// Runs DDL, and waits for its job if it has one.
    async fn define(self) -> Result<(), Failure> {
        match self.start().await? {
            Some(job) => self.wait(&job).await?.into_result(self),
            None => Ok(()),
        }
    }

    /// Runs DDL unless the catalog has its effect.
    async fn cause(self, effect: &Effect) -> Result<(), Failure> {
        let has = async || {
            let has = catalog::has(self.client, effect).await;
            has.map_err(|source| self.failed(source))
        };
        if has().await? {
            return Ok(());
        }
        match self.start().await {
            // Another migrator can be faster between the look and the statement.
            Err(failure) if failure.is_permanent() && has().await? => Ok(()),
            started => started.map(drop),
        }
    }

    /// Runs DDL, and returns its background job.
    async fn start(self) -> Result<Option<String>, Failure> {
        self.notice(Progress::Applying);
        // The extended protocol takes no second statement.
        let rows = self.client.query_typed(&self.statement.sql, &[]).await;
        let rows = rows.map_err(|source| self.failed(source))?;
        let row = rows.first();
        Ok(row.and_then(|row| row.try_get("job_id").ok()))
    }

    async fn record(self) -> Result<(), Failure> {
        self.notice(Progress::Recording);
        let Self {
            client,
            migration,
            statement,
            ..
        } = self;
        let recorded = self
            .settings
            .history
            .record(client, migration, statement, false);
        recorded.await.map_err(|source| {
            let is_recorded = source.code() == Some(&SqlState::UNIQUE_VIOLATION);
            let failure = self.history_failed(source);
            match is_recorded {
                true => failure.race(),
                false => failure,
            }
        })
    }

    fn notice(self, progress: impl FnOnce(crate::place::Place) -> Progress) {
        self.settings.notice(progress(self.statement.place.clone()));
    }

    fn failed(self, source: tokio_postgres::Error) -> Failure {
        let place = self.statement.place.clone();
        Failure::new(source, |source| Error::Statement { place, source })
    }

    fn history_failed(self, source: tokio_postgres::Error) -> Failure {
        self.settings.history_failed(source)
    }
}
