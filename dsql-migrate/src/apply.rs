//! Applies one statement and records it.

mod job;

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use crate::catalog;
use crate::error::Error;
use crate::failure::Failure;
use crate::history::{Claim, Turn};
use crate::migration::{Migration, Statement};
use crate::place::Place;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::statement::{Effect, Kind};

/// One statement, with the data that is needed to apply it.
#[derive(Clone, Copy)]
pub(crate) struct Apply<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) client: &'a Client,
    pub(crate) claim: &'a Claim,
    pub(crate) migration: &'a Migration,
    pub(crate) statement: &'a Statement,
}

impl Apply<'_> {
    /// Applies the statement. Returns `false` if another migrator did.
    pub(crate) async fn apply(self) -> Result<bool, Failure> {
        match self.try_apply().await {
            // A slow run may see the schema after later statements, which another migrator applied.
            Err(failure) if failure.is_permanent() => match self.turn().await? {
                Turn::Recorded => Ok(false),
                Turn::Ours | Turn::Theirs => {
                    // The claim would expire anyway.
                    let release =
                        self.settings
                            .history
                            .release(self.client, self.statement, self.claim);
                    let _ = release.await;
                    Err(failure)
                }
            },
            applied => applied,
        }
    }

    async fn try_apply(self) -> Result<bool, Failure> {
        let applied = match &self.statement.kind {
            Kind::Change => return self.change().await,
            Kind::Definition => self.define().await?,
            Kind::Effect(effect) => self.cause(effect).await?,
            Kind::Index(index) => self.build(index).await?,
            Kind::Validation { table, constraint } => self.validate(table, constraint).await?,
        };
        Ok(applied && self.record().await?)
    }

    /// Waits until this run has claimed the statement. Returns `false` if it is recorded already.
    async fn claim(self) -> Result<bool, Failure> {
        self.notice(Progress::Claiming);
        loop {
            match self.turn().await? {
                Turn::Recorded => return Ok(false),
                Turn::Ours => {
                    let history = &self.settings.history;
                    let claimed =
                        history.claim(self.client, self.migration, self.statement, self.claim);
                    if claimed
                        .await
                        .map_err(|source| self.history_failed(source))?
                    {
                        return Ok(true);
                    }
                }
                Turn::Theirs => sleep(POLL.mul_f64(0.5 + rand::random::<f64>())).await,
            }
        }
    }

    async fn turn(self) -> Result<Turn, Failure> {
        let history = &self.settings.history;
        let turn = history.turn(self.client, self.statement, self.claim).await;
        turn.map_err(|source| self.history_failed(source))
    }

    /// Runs DML in one transaction with its record: both are applied, once, or none is.
    async fn change(self) -> Result<bool, Failure> {
        if !self.claim().await? {
            return Ok(false);
        }
        self.notice(Progress::Applying);
        let changed = async {
            self.send("BEGIN").await?;
            let run = self.client.query_typed(&self.statement.sql, &[]);
            run.await.map_err(|source| self.failed(source))?;
            let is_first = self.record().await?;
            self.send(if is_first { "COMMIT" } else { "ROLLBACK" })
                .await?;
            Ok(is_first)
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
    async fn define(self) -> Result<bool, Failure> {
        if !self.claim().await? {
            return Ok(false);
        }
        if let Some(job) = self.start().await? {
            self.wait(&job).await?.into_result(self)?;
        }
        Ok(true)
    }

    /// Runs DDL, unless the catalog already has its effect.
    async fn cause(self, effect: &Effect) -> Result<bool, Failure> {
        if !self.claim().await? {
            return Ok(false);
        }
        let has = async || {
            let has = catalog::has(self.client, effect).await;
            has.map_err(|source| self.failed(source))
        };
        if has().await? {
            return Ok(true);
        }
        match self.start().await {
            // Another migrator may apply the statement between the check and this attempt.
            Err(failure) if failure.is_permanent() && has().await? => Ok(true),
            started => started.map(|_| true),
        }
    }

    /// Runs DDL, and returns its background job.
    async fn start(self) -> Result<Option<String>, Failure> {
        self.notice(Progress::Applying);
        // The extended protocol refuses a second statement.
        let rows = self.client.query_typed(&self.statement.sql, &[]).await;
        let rows = rows.map_err(|source| self.failed(source))?;
        let row = rows.first();
        Ok(row.and_then(|row| row.try_get("job_id").ok()))
    }

    async fn record(self) -> Result<bool, Failure> {
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
        recorded.await.map_err(|source| self.history_failed(source))
    }

    fn notice(self, progress: impl FnOnce(Place) -> Progress) {
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

/// How often a run checks whether another one is done, on average.
const POLL: Duration = Duration::from_millis(250);
