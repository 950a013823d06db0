//! Brings a cluster to the state that the Lambda needs: schema, tables, role and permissions.
//!
//! Safe to repeat at every deploy, even after a killed run or at the same time as another run. DSQL
//! requires a transaction of its own for each DDL statement, so the bootstrap as a whole is not
//! atomic: `dsql-migrate` applies the migrations, and every other statement is idempotent.

mod grantee;

use std::fmt;
use std::time::{Duration, SystemTime};

use dsql_conn::tokio_postgres::Row;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::tokio_postgres::types::{ToSql, Type};
use dsql_conn::{Config, Connection, Error, Reason, RetryPolicy, retry};
use dsql_migrate::{Migrations, Migrator};
pub use grantee::{Grantee, RoleArn, RoleName};
use tokio::time::sleep;

/// Connects. Retries until the deadline while the cluster refuses the admin or wakes up: a
/// permission from the same deployment can take over a minute to take effect.
///
/// # Errors
///
/// The error of the last attempt.
pub async fn admitted(config: &Config, until: SystemTime) -> Result<Connection, Error> {
    loop {
        match config.connect().await {
            Err(error)
                if error.reason().is_some_and(may_pass)
                    && SystemTime::now() + BETWEEN_ATTEMPTS < until =>
            {
                tracing::warn!(%error, "not let in yet");
                sleep(BETWEEN_ATTEMPTS).await;
            }
            outcome => return outcome,
        }
    }
}

fn may_pass(reason: Reason) -> bool {
    reason.is_transient() || matches!(reason, Reason::NotAuthorized | Reason::AccessDenied)
}

/// Applies what is missing, and returns every step. The connection must be the admin's.
///
/// # Errors
///
/// The first statement that failed. Earlier ones stay applied, and the next run continues.
pub async fn bootstrap(
    connection: &mut Connection,
    grantee: &Grantee,
) -> Result<Vec<Step>, BootstrapError> {
    let mut progress = Progress {
        connection,
        steps: Vec::new(),
    };

    progress
        .create(
            "schema games",
            ("SELECT FROM pg_namespace WHERE nspname = 'games'", &[]),
            include_str!("../schema/schema.sql"),
        )
        .await?;
    progress.migrate().await?;

    let privileges = [
        "USAGE ON SCHEMA games",
        "SELECT, INSERT, UPDATE, DELETE ON games.games",
        "SELECT, INSERT, UPDATE, DELETE ON games.outcomes",
    ];
    progress.admit(grantee, &privileges).await?;
    Ok(progress.steps)
}

/// Creates the role that may only sweep the table of outcomes, and returns every step. Call it
/// after [`bootstrap`], which creates the table. The connection must be the admin's.
///
/// # Errors
///
/// The first statement that failed. Earlier ones stay applied, and the next run continues.
pub async fn admit_sweeper(
    connection: &mut Connection,
    sweeper: &Grantee,
) -> Result<Vec<Step>, BootstrapError> {
    let mut progress = Progress {
        connection,
        steps: Vec::new(),
    };
    let privileges = ["USAGE ON SCHEMA games", "SELECT, DELETE ON games.outcomes"];
    progress.admit(sweeper, &privileges).await?;
    Ok(progress.steps)
}

/// One thing that the cluster needs, and what the run did about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// What it is.
    pub what: String,
    /// What was done.
    pub outcome: Outcome,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Created => "created",
            Outcome::Present => "present",
            Outcome::Granted => "granted",
        };
        write!(f, "{outcome} {}", self.what)
    }
}

/// What a [`Step`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was missing, and was created.
    Created,
    /// It existed.
    Present,
    /// A privilege, granted in every run. Granting it again changes nothing.
    Granted,
}

/// Why a cluster could not be prepared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// `GAME_ROLE_ARN` is missing.
    #[error("GAME_ROLE_ARN is not set: name the ARN of the Lambda's IAM role")]
    NoArn,
    /// Not a [`RoleName`].
    #[error("{0:?} is no role name: use at most 63 of a-z, 0-9 and _, and no digit first")]
    RoleName(String),
    /// Not a [`RoleArn`].
    #[error("{0:?} is not of the form arn:aws:iam::123456789012:role/name")]
    RoleArn(String),
    /// The migrations could not be applied.
    #[error("the migrations failed, run bootstrap again when the cause is gone")]
    Migrations(#[from] dsql_migrate::Error),
    /// The cluster refused, or became unreachable.
    #[error("{what} failed, run bootstrap again when the cause is gone")]
    Statement {
        /// The step it belongs to.
        what: String,
        /// The cluster's error.
        source: Error,
    },
}

struct Progress<'a> {
    connection: &'a mut Connection,
    steps: Vec<Step>,
}

impl Progress<'_> {
    /// Runs a query that changes nothing if it is run twice.
    async fn query(
        &self,
        query: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        let policy = RetryPolicy::new().idempotent();
        let rows = retry(policy, || self.connection.query_typed(query, params));
        rows.await
    }

    /// Runs the statement unless the query finds its result.
    async fn create(
        &mut self,
        what: impl Into<String>,
        (query, params): (&str, &[(&(dyn ToSql + Sync), Type)]),
        statement: &str,
    ) -> Result<(), BootstrapError> {
        let what = what.into();
        let created = async {
            if !self.query(query, params).await?.is_empty() {
                return Ok(Outcome::Present);
            }
            self.define(statement).await?;
            Ok(Outcome::Created)
        };
        let created = created.await;
        self.note(what, created)
    }

    /// Creates the role, lets the IAM role assume it, and grants it the privileges.
    async fn admit(
        &mut self,
        Grantee { role, arn }: &Grantee,
        privileges: &[&str],
    ) -> Result<(), BootstrapError> {
        self.create_role(role).await?;
        self.create(
            format!("trust of role {role} in {arn}"),
            (
                "SELECT FROM sys.iam_pg_role_mappings WHERE pg_role_name = $1 AND arn = $2",
                &[(&role.as_str(), Type::TEXT), (&arn.as_str(), Type::TEXT)],
            ),
            &format!("AWS IAM GRANT {role} TO '{arn}'"),
        )
        .await?;
        for privilege in privileges {
            self.repeat(
                format!("{privilege} to role {role}"),
                &format!("GRANT {privilege} TO {role}"),
            )
            .await?;
        }
        Ok(())
    }

    /// Creates the role without a check: there is no `IF NOT EXISTS`, and a check would race with
    /// another run.
    async fn create_role(&mut self, role: &RoleName) -> Result<(), BootstrapError> {
        let statement = format!("CREATE ROLE {role} WITH LOGIN");
        let created = match self.define(&statement).await {
            Ok(()) => Ok(Outcome::Created),
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => Ok(Outcome::Present),
            Err(error) => Err(error),
        };
        self.note(format!("role {role}"), created)
    }

    /// Applies the migrations, each of which is a step.
    async fn migrate(&mut self) -> Result<(), BootstrapError> {
        // Branches are merged in any order, and every migration here stands alone.
        let migrator = Migrator::new(migrations()?)
            .history_in("games", "dsql_migrations")
            .allow_out_of_order();
        // A connection derefs to the driver's client.
        let report = migrator.up(&**self.connection).await?;
        for step in report.steps {
            let what = format!("migration {}", step.place.name);
            let outcome = match step.outcome {
                dsql_migrate::Outcome::Applied => Outcome::Created,
                _ => Outcome::Present,
            };
            self.steps.push(Step { what, outcome });
        }
        Ok(())
    }

    /// Runs the statement unconditionally.
    async fn repeat(&mut self, what: String, statement: &str) -> Result<(), BootstrapError> {
        let done = self.define(statement).await;
        self.note(what, done.map(|()| Outcome::Granted))
    }

    /// Runs a DDL statement.
    async fn define(&mut self, statement: &str) -> Result<(), Error> {
        let mut repeats = 0..MAX_REPEATS;
        loop {
            match self.connection.execute_ddl(statement).await {
                Ok(_) => return Ok(()),
                // No statement here can violate a constraint of the schema. Two runs that create
                // the same thing at once conflict in the catalog, whose constraints PostgreSQL
                // reports as any other. The next attempt finds the other run's work.
                Err(error)
                    if error.code() == Some(&SqlState::UNIQUE_VIOLATION)
                        && repeats.next().is_some() => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn note(
        &mut self,
        what: String,
        outcome: Result<Outcome, Error>,
    ) -> Result<(), BootstrapError> {
        match outcome {
            Ok(outcome) => self.steps.push(Step { what, outcome }),
            Err(source) => return Err(BootstrapError::Statement { what, source }),
        }
        Ok(())
    }
}

/// Embeds the migrations. Each has one statement: the steps are named after the files.
fn migrations() -> Result<Migrations, dsql_migrate::Error> {
    dsql_migrate::migrations![
        "../schema/migrations/0001_games.sql",
        "../schema/migrations/0002_games_newest.sql",
        "../schema/migrations/0003_games_version.sql",
        "../schema/migrations/0004_games_outcomes.sql",
    ]
}

const MAX_REPEATS: u32 = 5;

const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/migrations");
        let embedded = migrations().unwrap();
        assert_eq!(embedded, Migrations::from_folder(folder).unwrap());
    }
}
