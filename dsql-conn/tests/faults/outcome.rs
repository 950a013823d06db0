//! The outcome of a call that meets a fault, and what ends the call.

use std::borrow::Cow;
use std::fmt;

use dsql_conn::{Error, Reason, RollbackCause, ServerError};

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served,
    /// [`Error::Connect`].
    Connect(Reason),
    /// [`Error::CheckoutTimeout`] with its cause.
    CheckoutTimeout(Option<Reason>),
    /// [`Error::Query`] without a reply.
    Lost,
    /// [`Error::Query`] with the server's SQLSTATE.
    Refused(Cow<'static, str>),
    /// [`Error::Conflict`].
    Conflict,
    /// [`Error::TransactionTimedOut`].
    TransactionTimedOut,
    /// [`Error::CommitUnknown`].
    CommitUnknown,
    /// [`Error::OutcomeTable`] with the server's SQLSTATE.
    UnusableTable(Cow<'static, str>),
    /// [`Error::RolledBack`] because of a statement, with the server's SQLSTATE.
    RolledBack(Cow<'static, str>),
    /// Nothing: the caller cancelled the call.
    Cancelled,
    /// Nothing: this call cannot meet this fault.
    Impossible,
    /// Something that no cell expects.
    Otherwise(String),
}

/// What ends a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The server's reply, or the end of the connection.
    AtOnce,
    /// The same, after pauses between attempts.
    Backoff,
    /// `Config::connect_timeout`.
    Connect,
    /// `Builder::checkout_timeout`.
    Checkout,
    /// `Builder::ping_timeout`.
    Ping,
    /// `Builder::settle_timeout`.
    Settle,
    /// `RetryPolicy::timeout`.
    Deadline,
    /// The wait for a reply to a `COMMIT` that can be settled: 5 s, or half of the time left.
    CommitReply,
    /// `Config::failover_after`.
    Failover,
    /// A timeout around the call.
    Caller,
}

/// The expectation of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) outcome: Outcome,
    pub(crate) bound: Bound,
    /// Whether the row that the call inserts exists afterwards. `None` if the call inserts none.
    pub(crate) applied: Option<bool>,
}

impl Outcome {
    pub(crate) fn of(result: &Result<(), Error>) -> Self {
        let error = match result {
            Ok(()) => return Self::Served,
            Err(error) => error,
        };
        match error {
            Error::Connect(error) => Self::Connect(error.reason()),
            Error::CheckoutTimeout { cause, .. } => {
                Self::CheckoutTimeout(cause.as_ref().map(|cause| cause.reason()))
            }
            Error::Query(error) => match error.code() {
                Some(code) => Self::Refused(code.code().to_owned().into()),
                None if error.is_closed() => Self::Lost,
                None => Self::Otherwise(format!("{error:?}")),
            },
            Error::Conflict { .. } => Self::Conflict,
            Error::TransactionTimedOut { .. } => Self::TransactionTimedOut,
            Error::CommitUnknown { .. } => Self::CommitUnknown,
            Error::OutcomeTable(_, error) => Self::UnusableTable(code(error)),
            Error::RolledBack(RollbackCause::StatementFailed(error)) => {
                Self::RolledBack(code(error))
            }
            error => Self::Otherwise(format!("{error:?}")),
        }
    }

    pub(crate) fn by(self, bound: Bound) -> Expected {
        let is_applied = self == Self::Served;
        Expected {
            outcome: self,
            bound,
            applied: Some(is_applied),
        }
    }
}

fn code(error: &ServerError) -> Cow<'static, str> {
    error.code().code().to_owned().into()
}

impl Expected {
    /// The call cannot meet the fault.
    pub(crate) fn impossible() -> Self {
        Outcome::Impossible.by(Bound::AtOnce)
    }

    /// The row exists, whatever result the caller got.
    pub(crate) fn applied(self) -> Self {
        Self {
            applied: Some(true),
            ..self
        }
    }

    /// The call writes nothing.
    pub(crate) fn reading(self) -> Self {
        Self {
            applied: None,
            ..self
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.outcome == Outcome::Impossible {
            return f.write_str("–");
        }
        write!(f, "{}, {}", self.outcome, self.bound)?;
        match self.applied {
            Some(true) if self.outcome != Outcome::Served => f.write_str("; applied"),
            Some(false) if !self.outcome.is_before_any_statement() => f.write_str("; not applied"),
            _ => Ok(()),
        }
    }
}

impl Outcome {
    fn is_before_any_statement(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::CheckoutTimeout(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served => f.write_str("served"),
            Self::Connect(reason) => write!(f, "`Connect`: `{reason:?}`"),
            Self::CheckoutTimeout(Some(reason)) => {
                write!(f, "`CheckoutTimeout` because of `{reason:?}`")
            }
            Self::CheckoutTimeout(None) => f.write_str("`CheckoutTimeout`"),
            Self::Lost => f.write_str("`Query`: connection lost"),
            Self::Refused(code) => write!(f, "`Query`: {code}"),
            Self::Conflict => f.write_str("`Conflict`"),
            Self::TransactionTimedOut => f.write_str("`TransactionTimedOut`"),
            Self::CommitUnknown => f.write_str("`CommitUnknown`"),
            Self::UnusableTable(code) => write!(f, "`OutcomeTable`: {code}"),
            Self::RolledBack(code) => write!(f, "`RolledBack`: {code}"),
            Self::Cancelled => f.write_str("nothing"),
            Self::Impossible => f.write_str("–"),
            Self::Otherwise(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::Backoff => "after a backoff",
            Self::Connect => "after `connect_timeout`",
            Self::Checkout => "after `checkout_timeout`",
            Self::Ping => "after `ping_timeout`",
            Self::Settle => "after `settle_timeout`",
            Self::Deadline => "after `RetryPolicy::timeout`",
            Self::CommitReply => "after 5 s without a reply to `COMMIT`",
            Self::Failover => "after `failover_after`",
            Self::Caller => "until the caller's own timeout",
        })
    }
}
