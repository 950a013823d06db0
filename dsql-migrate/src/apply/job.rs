//! Background jobs: `CREATE INDEX ASYNC` and `VALIDATE CONSTRAINT`.
//!
//! The server reports a failed job without an error, and `IF NOT EXISTS` skips an index in any
//! state: [asynchronous
//! indexes](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-create-index-async.html).
//! So the catalog decides whether a statement is done.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Apply;
use crate::catalog::{self, IndexState};
use crate::error::Error;
use crate::failure::Failure;
use crate::name::Name;
use crate::progress::Progress;
use crate::statement::Index;

/// How a job ended.
#[derive(Debug)]
pub(super) enum Ended {
    Succeeded,
    Failed(String),
    /// The job ended and was removed: the service keeps finished jobs for 30 minutes.
    Removed,
}

impl Ended {
    pub(super) fn into_result(self, apply: Apply<'_>) -> Result<(), Failure> {
        match self {
            Self::Succeeded | Self::Removed => Ok(()),
            Self::Failed(details) => Err(apply.job_failed(details)),
        }
    }
}

impl Apply<'_> {
    /// Builds an index, and builds it once more if the build failed. Returns `false` if the
    /// statement is recorded already.
    pub(super) async fn build(self, index: &Index) -> Result<bool, Failure> {
        let mut builds = 0;
        let mut details = None;
        let mut has_waited = false;
        loop {
            if !self.claim().await? {
                return Ok(false);
            }
            match self.index_state(index).await? {
                IndexState::Valid => return Ok(true),
                // Another run may have started the job. Waiting takes long, so the claim may have
                // expired.
                IndexState::Invalid(_) if !has_waited => {
                    has_waited = true;
                    self.wait_for_all().await?;
                    continue;
                }
                IndexState::Absent | IndexState::Invalid(_) if builds == MAX_BUILDS => {
                    let unknown = || "the index is not valid".to_owned();
                    return Err(self.job_failed(details.unwrap_or_else(unknown)));
                }
                IndexState::Absent => {}
                // If another migrator has built it again meanwhile, this session's catalog is
                // stale, and the statement fails with OC001.
                IndexState::Invalid(name) => {
                    self.notice(Progress::Dropping);
                    let drop = format!("DROP INDEX IF EXISTS {name}");
                    let dropped = self.client.query_typed(&drop, &[]).await;
                    dropped.map_err(|source| self.failed(source))?;
                }
            }
            builds += 1;
            if let Some(job) = self.start().await?
                && let Ended::Failed(cause) = self.wait(&job).await?
            {
                details = Some(cause);
            }
            has_waited = false;
        }
    }

    /// Validates a constraint. If rows violate it, fails at once. Returns `false` if the statement
    /// is recorded already.
    pub(super) async fn validate(self, table: &Name, constraint: &str) -> Result<bool, Failure> {
        let is_validated = async || {
            let state = catalog::constraint_state(self.client, table, constraint).await;
            let state = state.map_err(|source| self.failed(source))?;
            Ok(state == Some(true))
        };
        if !is_validated().await? {
            // An earlier run may have started a job.
            self.wait_for_all().await?;
        }
        if !self.claim().await? {
            return Ok(false);
        }
        if is_validated().await? {
            return Ok(true);
        }
        if let Some(job) = self.start().await? {
            self.wait(&job).await?.into_result(self)?;
        }
        match is_validated().await? {
            true => Ok(true),
            false => Err(self.job_failed("the constraint is not valid".to_owned())),
        }
    }

    /// Waits until a job has ended.
    pub(super) async fn wait(self, job: &str) -> Result<Ended, Failure> {
        self.notice(Progress::Waiting);
        let call = "CALL sys.wait_for_job($1)";
        let rows = match self.client.query_typed(call, &[(&job, Type::TEXT)]).await {
            Ok(rows) => rows,
            Err(error) if error.code() == Some(&SqlState::NO_DATA_FOUND) => {
                return Ok(Ended::Removed);
            }
            Err(error) => return Err(self.failed(error)),
        };
        let succeeded = rows.first().map(|row| row.try_get::<_, bool>(0));
        match succeeded
            .transpose()
            .map_err(|source| self.failed(source))?
        {
            Some(true) => Ok(Ended::Succeeded),
            _ => {
                let details = catalog::job_details(self.client, job).await;
                let details = details.map_err(|source| self.failed(source))?;
                Ok(Ended::Failed(details))
            }
        }
    }

    /// Waits for all jobs, because it is not certain which job belongs to the statement: `sys.jobs`
    /// names the object only in some states.
    async fn wait_for_all(self) -> Result<(), Failure> {
        let running = catalog::running_jobs(self.client).await;
        for job in running.map_err(|source| self.failed(source))? {
            self.wait(&job).await?;
        }
        Ok(())
    }

    async fn index_state(self, index: &Index) -> Result<IndexState, Failure> {
        let state = catalog::index_state(self.client, index).await;
        state.map_err(|source| self.failed(source))
    }

    fn job_failed(self, details: String) -> Failure {
        Failure::permanent(Error::Job {
            place: self.statement.place.clone(),
            details,
        })
    }
}

/// The first build may fail for a transient cause. A second failure is taken as permanent.
const MAX_BUILDS: u32 = 2;
