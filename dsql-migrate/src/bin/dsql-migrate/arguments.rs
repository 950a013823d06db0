//! The arguments of the program, and the settings that follow from them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use dsql_conn::{Config, ConfigError, Endpoint};
use dsql_migrate::{Error, Migrations, Migrator};

/// Applies migrations to an Aurora DSQL cluster: a folder of files NNNN_name.sql.
///
/// Without --endpoint, the settings of the connection come from the environment (DSQL_ENDPOINT,
/// DSQL_USER, ..), as Config::from_env of dsql-conn reads them.
///
/// Exit codes: 0 done, 1 another cause, 2 settings or arguments, 3 no connection, 4 files are
/// refused, 5 files are not those that were applied, 6 a statement failed, 7 a background job
/// failed, 8 conflicts did not end, 9 statements are pending (status --check).
#[derive(Debug, Parser)]
#[command(name = "dsql-migrate", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    cluster: Cluster,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what was applied and what is pending.
    Status {
        /// Prints JSON instead of text.
        #[arg(long)]
        json: bool,
        /// Ends with 9 if statements are pending, and with 5 if files differ.
        #[arg(long)]
        check: bool,
    },
    /// Apply what is pending.
    Up {
        /// Prints the statements, and runs none.
        #[arg(long)]
        dry_run: bool,
        /// Does not lint the pending files first.
        #[arg(long)]
        no_lint: bool,
    },
    /// Find SQL that the service refuses, without a connection.
    Lint,
    /// Record the files up to one as applied, and run nothing: the schema exists already.
    Baseline {
        /// The name or the number of the last file.
        through: String,
    },
}

#[derive(Debug, Args)]
struct Files {
    /// The folder of the files.
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        default_value = "migrations"
    )]
    dir: PathBuf,

    /// The table of the history, which may have a schema: games.dsql_migrations.
    #[arg(
        long,
        global = true,
        value_name = "TABLE",
        default_value = "dsql_migrations"
    )]
    history: String,

    /// Allows that the file of an applied migration is missing.
    #[arg(long, global = true)]
    allow_missing: bool,

    /// Applies files that sort before an applied one.
    #[arg(long, global = true)]
    allow_out_of_order: bool,
}

#[derive(Debug, Args)]
struct Cluster {
    /// The cluster's endpoint, a cluster ID with --region, or a postgres:// URL.
    #[arg(long, global = true)]
    endpoint: Option<String>,

    /// The Region of a cluster ID.
    #[arg(long, global = true)]
    region: Option<String>,

    /// The database role. Defaults to admin.
    #[arg(long, global = true)]
    user: Option<String>,

    /// A profile of the shared AWS configuration files.
    #[cfg(feature = "aws-config")]
    #[arg(long, global = true)]
    profile: Option<String>,
}

impl Arguments {
    pub(crate) fn migrations(&self) -> Result<Migrations, Error> {
        Migrations::from_folder(&self.files.dir)
    }

    pub(crate) fn migrator(&self, migrations: Migrations) -> Migrator {
        let files = &self.files;
        let mut migrator = match files.history.split_once('.') {
            Some((schema, table)) => Migrator::new(migrations).history_in(schema, table),
            None => Migrator::new(migrations).history(&files.history),
        };
        if files.allow_missing {
            migrator = migrator.allow_missing();
        }
        if files.allow_out_of_order {
            migrator = migrator.allow_out_of_order();
        }
        migrator
    }

    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let cluster = &self.cluster;
        let mut config = match (&cluster.endpoint, &cluster.region) {
            (None, _) => Config::from_env()?,
            (Some(url), _) if url.contains("://") && !url.starts_with("http") => url.parse()?,
            (Some(name), None) => Config::new(name.parse()?),
            (Some(id), Some(region)) => Config::new(Endpoint::in_region(id, region)?),
        };
        if let Some(user) = &cluster.user {
            config = config.user(user);
        }
        #[cfg(feature = "aws-config")]
        if let Some(profile) = &cluster.profile {
            config = config.profile(profile);
        }
        Ok(config)
    }
}
