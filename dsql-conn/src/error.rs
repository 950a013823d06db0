//! Says what went wrong, where, and what to do about it.
//!
//! `Display` carries our classification, the host, the user and the remedy, because `{e}` is what gets logged; the driver's,
//! the TLS stack's or the SDK's own error is the [`source`](std::error::Error::source).

mod chain;
mod config;
mod connect;
mod reason;

use std::time::Duration;

pub(crate) use chain::{debug_like_display, one_line, unquoted_source};
pub use config::ConfigError;
pub use connect::ConnectError;
pub(crate) use connect::Failure;
pub use reason::Reason;

use crate::{endpoint::EndpointError, outcome::is_refused};

/// Whatever this crate can answer instead of a result.
///
/// The wording of `Display` may change between versions; match on the variants and on [`Error::reason`].
///
/// ```
/// use dsql_conn::{Error, Reason};
///
/// fn status(error: &Error) -> u16 {
///     match (error, error.reason()) {
///         (_, Some(Reason::RateExceeded | Reason::TooManyConnections)) => 429,
///         (_, Some(_)) | (Error::CheckoutTimeout { .. }, None) => 503,
///         (Error::Conflict { .. }, None) => 409,
///         _ => 500,
///     }
/// }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is wrong or missing. Nothing was sent.
    #[error(transparent)]
    Config(#[from] ConfigError),

    /// No connection could be opened, and trying again at once would not help.
    #[error(transparent)]
    Connect(#[from] ConnectError),

    /// No connection became free before the checkout's deadline.
    #[error("no connection was free within {}{}", Seconds(.waited), Because(.cause.as_ref()))]
    CheckoutTimeout {
        /// How long the caller waited.
        waited: Duration,
        /// Why none could be opened meanwhile, or is not open yet; nothing if all were in use.
        #[source]
        cause: Option<ConnectError>,
    },

    /// The pool was closed, or is closing.
    #[error("the pool is closed; open a new one to go on")]
    PoolClosed,

    /// The server refused a statement, or the connection was lost while it ran.
    #[error("statement failed{}", Statement(.0))]
    Query(#[from] tokio_postgres::Error),

    /// Other transactions won every time: nothing of this one was applied.
    ///
    /// See [concurrency control in Aurora DSQL](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).
    #[error(
        "transaction gave up after {attempts} attempts, rolled back each time: {last}; make it smaller or spread its rows, \
         or allow more attempts"
    )]
    Conflict {
        /// How often the body ran.
        attempts: u32,
        /// The server's words for the last conflict.
        last: String,
    },

    /// Nothing was applied, and the body told of no error: a statement in it had failed all the same, or was still running, or the
    /// connection was lost before `COMMIT` was sent.
    ///
    /// The server answers `COMMIT` with `ROLLBACK` after a failed statement, which drivers report as a success.
    #[error("transaction was rolled back: {failure}")]
    RolledBack {
        /// What happened; of a statement that failed, SQLSTATE and message.
        failure: String,
    },

    /// `COMMIT` was sent and its outcome never arrived: the transaction may or may not have been applied.
    ///
    /// Running it again is safe only if a second run changes nothing, for example through a unique key:
    /// [`Pool::transaction`](crate::Pool::transaction) has an example.
    #[error(
        "the outcome of COMMIT is unknown{}; look whether it was applied before running it again", Unanswered(.source.as_ref())
    )]
    CommitUnknown {
        /// What came instead of the answer; nothing if the policy's deadline passed first.
        source: Option<tokio_postgres::Error>,
    },

    /// The deadline of the [`RetryPolicy`](crate::RetryPolicy) passed before `COMMIT` was sent: nothing was applied.
    #[error(
        "transaction did not come to its COMMIT within {}, in {attempts} attempts, and was rolled back; make it shorter, or allow more \
         time by RetryPolicy::deadline", Seconds(.after)
    )]
    TransactionTimedOut {
        /// How long it took.
        after: Duration,
        /// How often the body began.
        attempts: u32,
    },

    /// A background job, such as the build of an index, ended without success.
    #[error(
        "job {job_id} failed: {details}; what it was to build is there and not valid: drop it, mend the cause and start again"
    )]
    JobFailed {
        /// The job.
        job_id: String,
        /// What `sys.jobs` says of it.
        details: String,
    },

    /// The body ended the transaction itself, by `COMMIT` or `ROLLBACK`.
    #[error(
        "the body ended its transaction itself, so what it did can be neither committed nor run again; leave COMMIT and \
         ROLLBACK to `transaction`"
    )]
    TransactionEnded,

    /// A handle of the transaction was still alive after the body returned: nothing was applied.
    ///
    /// The pool has the connection's place back when the handle is dropped.
    #[error(
        "the transaction's handle outlived its body, so it was not committed; await what uses the handle before returning"
    )]
    TransactionEscaped,
}

impl From<EndpointError> for Error {
    fn from(error: EndpointError) -> Self {
        Self::Config(error.into())
    }
}

impl Error {
    /// Why no connection could be opened, if that is what went wrong.
    pub fn reason(&self) -> Option<Reason> {
        self.connect_error().map(ConnectError::reason)
    }

    /// The failed connection attempt behind this error, if there is one.
    pub fn connect_error(&self) -> Option<&ConnectError> {
        match self {
            Self::Connect(error) => Some(error),
            Self::CheckoutTimeout { cause, .. } => cause.as_ref(),
            _ => None,
        }
    }

    /// Whether a statement by itself, or a transaction, may have been applied although this error came.
    ///
    /// Of a statement by itself: what a transaction's body failed by was rolled back.
    pub fn may_have_applied(&self) -> bool {
        match self {
            Self::Query(error) => !is_refused(error),
            Self::CommitUnknown { .. } | Self::TransactionEnded => true,
            _ => false,
        }
    }

    /// The SQLSTATE that the server answered to a statement.
    pub fn code(&self) -> Option<&tokio_postgres::error::SqlState> {
        match self {
            Self::Query(error) => error.code(),
            Self::CommitUnknown { source } => source.as_ref()?.code(),
            _ => None,
        }
    }
}

/// A duration in words that stay readable from milliseconds to minutes.
struct Seconds<'a>(&'a Duration);

impl std::fmt::Display for Seconds<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

/// What came instead of the answer to `COMMIT`.
struct Unanswered<'a>(Option<&'a tokio_postgres::Error>);

impl std::fmt::Display for Unanswered<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(error) => Statement(error).fmt(f),
            None => f.write_str(": the deadline passed"),
        }
    }
}

struct Because<'a>(Option<&'a ConnectError>);

impl std::fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(cause) => write!(f, ", because none could be opened: {cause}"),
            None => f.write_str("; all are in use: return them sooner, or raise the pool's size"),
        }
    }
}

/// The server's answer to a statement, or that there was none.
struct Statement<'a>(&'a tokio_postgres::Error);

impl std::fmt::Display for Statement<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            Some(error) => write!(
                f,
                ": {} (SQLSTATE {})",
                error.message(),
                error.code().code()
            ),
            None if self.0.is_closed() => f.write_str(": the connection was lost"),
            None => write!(f, ": {}", self.0),
        }
    }
}
