//! The errors of this crate: what went wrong, where, and what to do about it.
//!
//! `Display` has the classified reason, host, user and remedy in one line, because applications log
//! `{e}`. `source()` continues with the causes that the line does not contain.

mod advice;
mod chain;
mod config;
mod connect;
#[cfg(feature = "deadpool")]
mod deadpool;
mod discard;
mod display;
mod driver;
#[cfg(test)]
mod page;
mod rollback;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use tokio_postgres::error::SqlState;

pub(crate) use self::chain::{debug_like_display, one_line, unquoted_source};
pub use self::config::ConfigError;
pub use self::connect::ConnectError;
pub(crate) use self::connect::Failure;
pub use self::discard::Discard;
pub(crate) use self::driver::{is_lost, is_row_count, was_not_sent};
pub use self::rollback::RollbackCause;
use crate::endpoint::EndpointError;
use crate::outcomes::{OutcomeId, Outcomes};
use crate::reason::Reason;
use crate::sqlstate::ServerError;

/// All errors returned by this crate.
///
/// The wording of `Display` may change between versions; match on the variants, on
/// [`Error::reason`] and on [`Error::code`].
///
/// [`Error::remedy`] returns what to do. [`Error::http_status`] and [`Error::retry_after`] return
/// what a service should answer to its clients:
///
/// ```
/// use dsql_conn::Error;
///
/// fn answer(error: &Error) -> (u16, Option<u64>) {
///     (error.http_status(), error.retry_after().map(|time| time.as_secs()))
/// }
/// ```
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong or missing. Nothing was sent.
    Config(ConfigError),

    /// No connection could be opened.
    Connect(ConnectError),

    /// No connection became free before the checkout's deadline.
    CheckoutTimeout {
        /// How long the caller waited. `None` for bb8 and deadpool, which do not report it.
        waited: Option<Duration>,
        /// Why no connection could be opened meanwhile, or why none is open yet. `None` if all were
        /// in use.
        cause: Option<ConnectError>,
    },

    /// A connection cannot be used. bb8 and deadpool close it, and take another one;
    /// [`Pool`](crate::Pool) does so by itself. [`Connection::transaction`] returns it if a
    /// statement that the caller dropped is still running, or a transaction is open.
    ///
    /// [`Connection::transaction`]: crate::Connection::transaction
    Discarded(Discard),

    /// The pool was closed, or is closing.
    PoolClosed,

    /// The server refused a statement, its parameters do not fit, or the connection was lost while
    /// it ran.
    Query(tokio_postgres::Error),

    /// The query returned no row, and its method returns exactly one.
    NoRow,

    /// The query returned more than one row, and its method returns one at most.
    SeveralRows,

    /// A statement had no reply within its timeout. The server may still run it.
    StatementTimeout {
        /// The timeout.
        after: Duration,
        /// The reply may have arrived behind unread rows of another query.
        unread_rows: bool,
    },

    /// Every attempt at the transaction met a conflict with another transaction. Nothing was
    /// applied.
    ///
    /// See [concurrency control in Aurora
    /// DSQL](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).
    Conflict {
        /// How often the body ran.
        attempts: u32,
        /// The last conflict.
        last: ServerError,
    },

    /// The body returned `Ok`, but the transaction could not be committed. Nothing was applied.
    RolledBack(RollbackCause),

    /// `COMMIT` was sent and its outcome never arrived: the transaction may have been applied.
    ///
    /// Running it again is safe only if a second run changes nothing, for example through a unique
    /// key: [`Pool::transaction`](crate::Pool::transaction) has an example.
    CommitUnknown {
        /// The error that came instead of the reply. `None` if the policy's deadline passed first.
        source: Option<tokio_postgres::Error>,
        /// Settles the outcome later, by [`Outcomes::settle`](crate::Outcomes::settle). `None` if
        /// the policy names no outcome table.
        id: Option<OutcomeId>,
    },

    /// The outcome table of the policy cannot be used. Nothing was applied.
    OutcomeTable(Outcomes, ServerError),

    /// The transaction is too old for its outcome to be settled: see
    /// [`Outcomes::SETTLE_WITHIN`](crate::Outcomes::SETTLE_WITHIN).
    OutcomeExpired(OutcomeId),

    /// The deadline of the [`RetryPolicy`](crate::RetryPolicy) passed before `COMMIT` was sent.
    /// Nothing was applied.
    TransactionTimedOut {
        /// How long it took.
        after: Duration,
        /// How often the body began.
        attempts: u32,
        /// A statement waited for its reply behind unread rows of another query.
        unread_rows: bool,
    },

    /// A background job, such as the build of an index, failed.
    JobFailed {
        /// The job's ID.
        job_id: String,
        /// The details of the job in `sys.jobs`.
        details: String,
    },

    /// The body ended the transaction itself, by `COMMIT` or `ROLLBACK`.
    TransactionEnded,

    /// A handle of the transaction was still alive after the body returned. Nothing was applied.
    TransactionEscaped,
}

impl Error {
    /// Returns why no connection could be opened, if that is what went wrong.
    pub fn reason(&self) -> Option<Reason> {
        self.connect_error().map(ConnectError::reason)
    }

    /// Returns the failed connection attempt behind this error, if there is one.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            Self::Connect(error) => Some(error),
            Self::CheckoutTimeout { cause, .. } => cause.as_ref(),
            _ => None,
        }
    }

    /// Returns whether a single statement, or a transaction, may have been applied despite this
    /// error.
    ///
    /// For an error of a statement inside a transaction's body, the answer is about the statement
    /// alone: the transaction was rolled back.
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::Query(error) => match ServerError::of(error) {
                Some(error) => !error.meaning().excludes_applied(),
                None => !was_not_sent(error),
            },
            // The statement may write, and return rows.
            Self::NoRow
            | Self::SeveralRows
            | Self::CommitUnknown { .. }
            | Self::OutcomeExpired(_)
            | Self::TransactionEnded
            | Self::StatementTimeout { .. } => true,
            _ => false,
        }
    }

    /// Returns whether the connection was lost while a statement, or `COMMIT`, was in flight.
    pub fn is_connection_lost(&self) -> bool {
        self.driver_error().is_some_and(is_lost)
    }

    /// Returns the server's error, if the server answered a statement or `COMMIT` with one.
    pub fn server_error(&self) -> Option<ServerError> {
        match self {
            Self::Query(error) => ServerError::of(error),
            Self::CommitUnknown { source, .. } => source.as_ref().and_then(ServerError::of),
            Self::OutcomeTable(_, error) => Some(error.clone()),
            Self::Conflict { last, .. } => Some(last.clone()),
            Self::RolledBack(RollbackCause::StatementFailed(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// Returns the SQLSTATE of the [`server_error`](Self::server_error).
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Query(error) => error.code(),
            Self::CommitUnknown { source, .. } => source.as_ref()?.code(),
            Self::OutcomeTable(_, error) => Some(error.code()),
            Self::Conflict { last, .. } => Some(last.code()),
            Self::RolledBack(RollbackCause::StatementFailed(error)) => Some(error.code()),
            _ => None,
        }
    }

    /// Returns the driver's error behind this one, if there is one.
    pub fn driver_error(&self) -> Option<&tokio_postgres::Error> {
        match self {
            Self::Query(error) => Some(error),
            Self::CommitUnknown { source, .. } => source.as_ref(),
            _ => None,
        }
    }

    /// Returns the first error below this one. Skips the driver's wrapper of a server's error,
    /// which adds nothing.
    fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            _ if self.server_error().is_some() => None,
            Self::Config(error) => Some(error),
            Self::Connect(error) => Some(error),
            Self::CheckoutTimeout { cause, .. } => cause.as_ref().map(|cause| cause as _),
            // The driver counts parameters from 0: only what is below its own words is repeated.
            Self::Query(error) if was_not_sent(error) => error.source(),
            Self::Query(error) => Some(error),
            Self::CommitUnknown { source, .. } => source.as_ref().map(|source| source as _),
            _ => None,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        Self::Config(error.into())
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query(error)
    }
}

/// Writes the same as `Display`, with the sources below it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_like_display(f, self, self.cause())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause()
            .and_then(|cause| unquoted_source(&self.to_string(), cause))
    }
}
