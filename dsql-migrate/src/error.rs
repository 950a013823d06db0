//! All errors of this crate.

mod remedy;

use std::error::Error as StdError;
use std::path::PathBuf;
use std::{fmt, io};

use crate::difference::Difference;
use crate::place::Place;
use crate::problem::Problem;

/// All errors returned by this crate. Statements that were applied before an error stay applied and
/// recorded, and the next run continues there.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A folder or a file could not be read.
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Names or statements are refused. Nothing was sent.
    Refused(Vec<Problem>),
    /// The files are not those that were applied. Nothing was changed.
    Differs(Vec<Difference>),
    /// No connection could be opened.
    Connect(Box<dyn StdError + Send + Sync>),
    /// The table of the history could not be read or written.
    History {
        /// The table's name, quoted for SQL.
        table: String,
        /// The error.
        source: tokio_postgres::Error,
    },
    /// A statement of a migration failed.
    Statement {
        /// The statement.
        place: Place,
        /// The error.
        source: tokio_postgres::Error,
    },
    /// A background job of a statement failed twice, or a constraint is violated.
    Job {
        /// The statement that started it.
        place: Place,
        /// The details of the job in `sys.jobs`.
        details: String,
    },
    /// Every attempt met a conflict or a lost connection.
    Busy {
        /// The number of attempts without any progress.
        attempts: u32,
        /// The last error.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// No migration has this name.
    NoMigration(String),
}

impl Error {
    /// Returns the error and its causes in one line. A server's error is its message with its
    /// SQLSTATE.
    pub fn chain(&self) -> String {
        let mut chain = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let driver = error.downcast_ref::<tokio_postgres::Error>();
            if let Some(server) = driver.and_then(|error| error.as_db_error()) {
                let (message, code) = (server.message(), server.code().code());
                return format!("{chain}: {message} (SQLSTATE {code})");
            }
            chain = format!("{chain}: {error}");
            cause = error.source();
        }
        chain
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => write!(f, "could not read {}", path.display()),
            Self::Refused(problems) => {
                match problems.len() {
                    1 => write!(f, "1 statement is refused")?,
                    count => write!(f, "{count} statements are refused")?,
                }
                write!(f, ", and nothing was sent:")?;
                problems
                    .iter()
                    .try_for_each(|problem| write!(f, "\n{problem}"))
            }
            Self::Differs(differences) => {
                write!(f, "the files are not those that were applied:")?;
                differences
                    .iter()
                    .try_for_each(|difference| write!(f, "\n{difference}"))
            }
            Self::Connect(_) => f.write_str(
                "no connection could be opened; run again when the cause is gone (dsql-doctor \
                 finds it)",
            ),
            Self::History { table, source } => {
                write!(f, "the history in {table} could not be used")?;
                remedy::write(f, source)
            }
            Self::Statement { place, source } => {
                write!(f, "{place} failed")?;
                remedy::write(f, source)
            }
            Self::Job { place, details } => write!(
                f,
                "the job of {place} failed ({details}); fix the cause and run again"
            ),
            Self::Busy { attempts, .. } => write!(
                f,
                "{attempts} attempts in a row met conflicts or lost connections; run again"
            ),
            Self::NoMigration(name) => write!(f, "there is no migration {name}"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Folder { source, .. } => Some(source),
            Self::Connect(source) | Self::Busy { source, .. } => Some(&**source),
            Self::History { source, .. } | Self::Statement { source, .. } => Some(source),
            Self::Refused(_) | Self::Differs(_) | Self::Job { .. } | Self::NoMigration(_) => None,
        }
    }
}
