//! Runs the program's commands, and decides its exit code.

use std::fmt;

use dsql_conn::ConfigError;
use dsql_migrate::{Error, Migrations, Problem, Progress, Status};

use crate::arguments::{Arguments, Command};
use crate::print;

/// Why the program failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Settings(ConfigError),
    Migrate(Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Migrate(Error::NoMigration(_)) => 2,
            Self::Migrate(Error::Connect(_)) => 3,
            Self::Migrate(Error::Refused(_)) => 4,
            Self::Migrate(Error::Differs(_)) => 5,
            Self::Migrate(Error::Statement { .. } | Error::History { .. }) => 6,
            Self::Migrate(Error::Job { .. }) => 7,
            Self::Migrate(Error::Busy { .. }) => 8,
            Self::Migrate(_) => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Migrate(error) => f.write_str(&error.chain()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Migrate(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Settings(error)
    }
}

/// Runs the program, and returns its exit code.
pub(crate) async fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let migrations = arguments.migrations()?;
    match &arguments.command {
        Command::Lint => {
            let problems = migrations.lint();
            match problems.is_empty() {
                true => print::line("no problem found"),
                false => return Err(Error::Refused(problems).into()),
            }
        }
        Command::Status { json, check } => {
            let status = arguments
                .migrator(migrations)
                .status(&arguments.config()?)
                .await?;
            print::status(&status, *json, *check);
            if *check {
                status.check()?;
                return Ok(if status.pending.is_empty() {
                    0
                } else {
                    PENDING
                });
            }
        }
        Command::Up { dry_run, no_lint } => {
            up(arguments, migrations, *dry_run, *no_lint).await?;
        }
        Command::Baseline { through } => {
            let config = arguments.config()?;
            let report = arguments
                .migrator(migrations)
                .baseline(&config, through)
                .await?;
            print::report(&report);
        }
    }
    Ok(0)
}

async fn up(
    arguments: &Arguments,
    migrations: Migrations,
    is_dry_run: bool,
    no_lint: bool,
) -> Result<(), Failure> {
    let problems = match no_lint {
        true => Vec::new(),
        false => migrations.lint(),
    };
    let migrator = arguments.migrator(migrations).observer(observe);
    let config = arguments.config()?;
    let status = migrator.status(&config).await?;
    status.check()?;
    let problems = of_pending(problems, &status);
    if !problems.is_empty() {
        return Err(Error::Refused(problems).into());
    }
    match is_dry_run {
        true => print::pending(&status),
        false => print::applied(&migrator.up(&config).await?),
    }
    Ok(())
}

/// Leaves out the problems of applied statements, because the service accepted those.
fn of_pending(mut problems: Vec<Problem>, status: &Status) -> Vec<Problem> {
    problems.retain(|problem| {
        let mut pending = status.pending.iter();
        pending.any(|pending| {
            pending.place.name == problem.place.name
                && pending.place.statement == problem.place.statement
        })
    });
    problems
}

/// Shows the steps that take time.
fn observe(progress: &Progress) {
    match progress {
        Progress::Applying(_)
        | Progress::Waiting(_)
        | Progress::Dropping(_)
        | Progress::Retrying(_) => eprintln!("{progress}"),
        _ => {}
    }
}

/// The exit code of `status --check` if statements are pending.
const PENDING: u8 = 9;
