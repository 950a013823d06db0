//! Brings a cluster to the state that the Lambda needs: schema, tables, role and permissions.
//!
//! Made to be run again at every deploy, also when the last run was killed half way or another
//! one is under way. DSQL wants each DDL statement in a transaction of its own, so nothing here
//! is atomic as a whole: every statement is idempotent and followed by its record instead.

mod grantee;

use std::fmt;

use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::tokio_postgres::types::{ToSql, Type};
use dsql_conn::{Connection, Error, RetryPolicy, retry};

pub use grantee::{Grantee, RoleArn, RoleName};

/// Applies what is missing and tells about every step. The connection has to be the admin's.
///
/// # Errors
///
/// The first statement that failed; those before it stay done, and the next run goes on.
pub async fn bootstrap(
    connection: &Connection,
    grantee: &Grantee,
) -> Result<Vec<Step>, BootstrapError> {
    let Grantee { role, arn } = grantee;
    let mut progress = Progress {
        connection,
        steps: Vec::new(),
    };

    progress
        .create(
            "schema games",
            (
                "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'games')",
                &[],
            ),
            include_str!("../schema/schema.sql"),
        )
        .await?;
    progress
        .create(
            "table games.migrations",
            (
                "SELECT EXISTS (SELECT FROM pg_tables
                 WHERE schemaname = 'games' AND tablename = 'migrations')",
                &[],
            ),
            include_str!("../schema/migrations.sql"),
        )
        .await?;
    for (name, statement) in MIGRATIONS {
        progress.migrate(name, statement).await?;
    }

    progress.create_role(role).await?;
    progress
        .create(
            format!("trust of role {role} in {arn}"),
            (
                "SELECT EXISTS (SELECT FROM sys.iam_pg_role_mappings
                 WHERE pg_role_name = $1 AND arn = $2)",
                &[(&role.as_str(), Type::TEXT), (&arn.as_str(), Type::TEXT)],
            ),
            &format!("AWS IAM GRANT {role} TO '{arn}'"),
        )
        .await?;
    for privilege in ["USAGE ON SCHEMA games", "SELECT, INSERT ON games.games"] {
        progress
            .repeat(
                format!("{privilege} to role {role}"),
                &format!("GRANT {privilege} TO {role}"),
            )
            .await?;
    }
    Ok(progress.steps)
}

/// One thing that the cluster needs, and what was done about it.
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
    /// It was missing.
    Created,
    /// It was there already.
    Present,
    /// A privilege: given at every run, which changes nothing where it was given before.
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
    /// The cluster refused, or could not be reached any more.
    #[error("{what} failed, run bootstrap again when the cause is gone")]
    Statement {
        /// The step it belongs to.
        what: String,
        /// What the cluster said.
        source: Error,
    },
}

struct Progress<'a> {
    connection: &'a Connection,
    steps: Vec<Step>,
}

impl Progress<'_> {
    /// Runs the statement unless the query finds its result.
    async fn create(
        &mut self,
        what: impl Into<String>,
        (query, params): (&str, &[(&(dyn ToSql + Sync), Type)]),
        statement: &str,
    ) -> Result<(), BootstrapError> {
        let what = what.into();
        let created = async {
            let found = retry(RetryPolicy::new(), || {
                self.connection.query_typed_one(query, params)
            })
            .await?;
            if found.try_get(0)? {
                return Ok(Outcome::Present);
            }
            self.define(statement).await?;
            Ok(Outcome::Created)
        };
        let created = created.await;
        self.note(what, created)
    }

    /// Creates the role without looking first: there is no `IF NOT EXISTS` to win a race with.
    async fn create_role(&mut self, role: &RoleName) -> Result<(), BootstrapError> {
        let statement = format!("CREATE ROLE {role} WITH LOGIN");
        let created = match self.define(&statement).await {
            Ok(()) => Ok(Outcome::Created),
            Err(error) if error.code() == Some(&SqlState::DUPLICATE_OBJECT) => Ok(Outcome::Present),
            Err(error) => Err(error),
        };
        self.note(format!("role {role}"), created)
    }

    /// Applies a migration and records it afterwards, in another transaction: one that was
    /// killed in between is applied twice, which its `IF NOT EXISTS` allows.
    async fn migrate(&mut self, name: &str, statement: &str) -> Result<(), BootstrapError> {
        self.create(
            format!("migration {name}"),
            (
                "SELECT EXISTS (SELECT FROM games.migrations WHERE name = $1)",
                &[(&name, Type::TEXT)],
            ),
            statement,
        )
        .await?;
        let record = "INSERT INTO games.migrations (name) VALUES ($1) ON CONFLICT DO NOTHING";
        let name_param = [(&name as _, Type::TEXT)];
        retry(RetryPolicy::new(), || {
            self.connection.query_typed(record, &name_param)
        })
        .await
        .map_err(|source| BootstrapError::Statement {
            what: format!("record of migration {name}"),
            source: source.into(),
        })?;
        Ok(())
    }

    /// Runs the statement in any case.
    async fn repeat(&mut self, what: String, statement: &str) -> Result<(), BootstrapError> {
        let done = self.define(statement).await;
        self.note(what, done.map(|()| Outcome::Granted))
    }

    /// Runs a DDL statement, and waits for the job that an index is built by.
    ///
    /// An index that an earlier run left under construction is there already and not waited for.
    async fn define(&self, statement: &str) -> Result<(), Error> {
        let mut repeats = 0..MAX_REPEATS;
        loop {
            match self.connection.execute_ddl(statement).await {
                Ok(Some(job)) => return self.connection.wait_for_job(&job).await,
                Ok(None) => return Ok(()),
                // No statement here can violate a constraint of ours. Two bootstraps that create
                // the same thing at once meet in the catalog, whose constraints PostgreSQL
                // reports as any other; the next attempt finds the other one's work.
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

/// In the order in which they are applied; a name is never used again.
const MIGRATIONS: [(&str, &str); 2] = [
    (
        "0001_games",
        include_str!("../schema/migrations/0001_games.sql"),
    ),
    (
        "0002_games_newest",
        include_str!("../schema/migrations/0002_games_newest.sql"),
    ),
];

const MAX_REPEATS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_files_are_one_idempotent_statement_each() {
        let files = [
            include_str!("../schema/schema.sql"),
            include_str!("../schema/migrations.sql"),
        ];
        for statement in files
            .into_iter()
            .chain(MIGRATIONS.map(|(_, statement)| statement))
        {
            assert!(!statement.contains(';'), "{statement}");
            assert!(statement.contains("IF NOT EXISTS"), "{statement}");
        }
    }
}
