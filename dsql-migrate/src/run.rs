//! One run: reads the history and applies missing statements until none is missing.
//!
//! All state is in the database. After a conflict or a lost connection the run reads the history
//! again, so it also continues after the statements that other migrators applied. The service has
//! no advisory locks; conflicts take their place:
//!
//! - DML runs in one transaction with its record, whose key is unique.
//! - DDL runs right after the statement was claimed on the same session. If another migrator
//!   changed the schema in between, the session's catalog is stale, and the service fails the DDL
//!   with [OC001][occ]. A run never repeats DDL before it has read the history again.
//!
//! [occ]: https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html

use std::borrow::Borrow;
use std::collections::HashSet;

use tokio::time::sleep;
use tokio_postgres::Client;

use crate::apply::Apply;
use crate::connect::{Connect, Lost};
use crate::difference::Difference;
use crate::error::Error;
use crate::failure::{Attempts, Failure};
use crate::history::{Claim, Record};
use crate::place::Place;
use crate::progress::{Outcome, Progress, Report, Status, Step};
use crate::settings::Settings;

/// A run, and the connection that it uses now.
pub(crate) struct Run<'a, C: Connect> {
    settings: &'a Settings,
    connect: C,
    session: Option<C::Session>,
    attempts: Attempts,
    /// The longest history that this run has seen.
    longest: usize,
    done: HashSet<Place>,
    claim: Claim,
}

impl<'a, C: Connect> Run<'a, C> {
    pub(crate) fn new(settings: &'a Settings, connect: C) -> Self {
        Self {
            settings,
            connect,
            session: None,
            attempts: Attempts::default(),
            longest: 0,
            done: HashSet::new(),
            claim: Claim {
                owner: format!("{:032x}", rand::random::<u128>()),
                expires_after: settings.takeover_after,
            },
        }
    }

    pub(crate) async fn up(mut self) -> Result<Report, Error> {
        loop {
            match self.apply_pending().await {
                Ok(()) => return Ok(self.report(u64::MAX, Outcome::Applied)),
                Err(failure) => self.recover(failure).await?,
            }
        }
    }

    pub(crate) async fn status(mut self) -> Result<Status, Error> {
        loop {
            match self.read().await {
                Ok(records) => return Ok(Status::new(self.settings.compare(&records))),
                Err(failure) => self.recover(failure).await?,
            }
        }
    }

    /// Records the statements of all migrations up to a number.
    pub(crate) async fn baseline(mut self, last: u64) -> Result<Report, Error> {
        loop {
            match self.record_through(last).await {
                Ok(()) => return Ok(self.report(last, Outcome::Baseline)),
                Err(failure) => self.recover(failure).await?,
            }
        }
    }

    async fn apply_pending(&mut self) -> Result<(), Failure> {
        let records = self.read_or_create().await?;
        let settings = self.settings;
        let found = settings.compare(&records);
        check(&found.differences)?;
        self.claim.expires_after = self.attempts.takeover_after(settings.takeover_after);
        for (migration, statement) in found.pending {
            let client = client(&self.session)?;
            let apply = Apply {
                settings,
                client,
                claim: &self.claim,
                migration,
                statement,
            };
            if apply.apply().await? {
                self.done.insert(statement.place.clone());
            }
            self.attempts.progress();
        }
        Ok(())
    }

    async fn record_through(&mut self, last: u64) -> Result<(), Failure> {
        let records = self.read_or_create().await?;
        let settings = self.settings;
        let found = settings.compare(&records);
        check(&found.differences)?;
        for (migration, statement) in found.pending {
            if migration.number > last {
                break;
            }
            settings.notice(Progress::Recording(statement.place.clone()));
            let client = client(&self.session)?;
            let recorded = settings.history.record(client, migration, statement, true);
            recorded
                .await
                .map_err(|source| self.history_failed(source))?;
            self.done.insert(statement.place.clone());
            self.attempts.progress();
        }
        Ok(())
    }

    /// Reads the history. If the table is missing, nothing was applied.
    async fn read(&mut self) -> Result<Vec<Record>, Failure> {
        Ok(self.read_table().await?.unwrap_or_default())
    }

    async fn read_or_create(&mut self) -> Result<Vec<Record>, Failure> {
        if let Some(records) = self.read_table().await? {
            return Ok(records);
        }
        let created = self.settings.history.create(client(&self.session)?).await;
        created.map_err(|source| self.history_failed(source))?;
        self.read().await
    }

    async fn read_table(&mut self) -> Result<Option<Vec<Record>>, Failure> {
        self.open().await?;
        let read = self.settings.history.read(client(&self.session)?).await;
        let records = read.map_err(|source| self.history_failed(source))?;
        let count = records.as_ref().map_or(0, Vec::len);
        if count > self.longest {
            self.longest = count;
            self.attempts.progress();
        }
        Ok(records)
    }

    /// Opens a connection if there is none.
    async fn open(&mut self) -> Result<(), Failure> {
        if self.session.is_none() {
            self.settings.notice(Progress::Connecting);
            let session = self.connect.connect().await;
            let session =
                session.map_err(|error| Failure::permanent(Error::Connect(Box::new(error))))?;
            self.session = Some(session);
        }
        Ok(())
    }

    /// Waits before the next attempt, if there is one.
    async fn recover(&mut self, failure: Failure) -> Result<(), Error> {
        if !failure.is_permanent() {
            self.settings
                .notice(Progress::Retrying(failure.error.chain()));
        }
        let delay = self.attempts.next(failure, rand::random())?;
        sleep(delay).await;
        if client(&self.session).is_ok_and(Client::is_closed) {
            self.session = None;
        }
        Ok(())
    }

    fn history_failed(&self, source: tokio_postgres::Error) -> Failure {
        self.settings.history_failed(source)
    }

    /// Reports every statement up to a migration's number. The statements that this run handled get
    /// this outcome.
    fn report(&self, last: u64, outcome: Outcome) -> Report {
        let files = self.settings.migrations.files.iter();
        let files = files.take_while(|file| file.number <= last);
        let steps = files
            .flat_map(|file| &file.statements)
            .map(|statement| Step {
                place: statement.place.clone(),
                outcome: match self.done.contains(&statement.place) {
                    true => outcome,
                    false => Outcome::Present,
                },
            });
        Report {
            steps: steps.collect(),
        }
    }
}

/// Returns the open connection's client. A free function, so that `self` is not borrowed as a
/// whole.
fn client<S: Borrow<Client>>(session: &Option<S>) -> Result<&Client, Failure> {
    let lost = || Failure::permanent(Error::Connect(Box::new(Lost)));
    session.as_ref().map(Borrow::borrow).ok_or_else(lost)
}

fn check(differences: &[Difference]) -> Result<(), Failure> {
    match differences {
        [] => Ok(()),
        differences => Err(Failure::permanent(Error::Differs(differences.to_vec()))),
    }
}
