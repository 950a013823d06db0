//! The wording of [`Error`].

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::driver::OneLine;
use super::{Error, was_not_sent};
use crate::outcomes::{Outcomes, TableProblem};
use crate::sqlstate::ServerError;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what(f)?;
        match self.remedy() {
            Some(remedy) => write!(f, "; {remedy}"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// Returns what to do about the error. `Display` ends with it.
    ///
    /// `None` if that depends on the statement: the server's message says what is wrong.
    ///
    /// ```
    /// use dsql_conn::{Config, Error};
    ///
    /// let error: Error = "host=localhost".parse::<Config>().unwrap_err().into();
    /// let remedy = error.remedy().unwrap();
    /// assert_eq!(remedy, "write postgres://USER@ENDPOINT:5432/postgres");
    /// ```
    pub fn remedy(&self) -> Option<Cow<'static, str>> {
        let remedy = match self {
            Self::Config(error) => return Some(error.remedy()),
            Self::Connect(error) => return Some(error.remedy()),
            Self::CheckoutTimeout {
                cause: Some(cause), ..
            } => return Some(cause.remedy()),
            Self::CheckoutTimeout { cause: None, .. } => {
                "all are in use: return them sooner, or raise the pool's size"
            }
            Self::Discarded(_) => "take another one",
            Self::PoolClosed => "open a new one",
            Self::Query(_) => return None,
            Self::NoRow => "use query_opt if that may happen",
            Self::SeveralRows => "make the condition unique, add LIMIT 1, or use query",
            Self::StatementTimeout { unread_rows, .. } => match unread_rows {
                true => READ_ROWS,
                false => "the server may still run it: check its effect before you run it again",
            },
            Self::Conflict { .. } => "make it smaller, spread its rows, or allow more attempts",
            Self::RolledBack(cause) => return cause.remedy().map(Cow::Borrowed),
            Self::CommitUnknown { id: Some(id), .. } => {
                return Some(format!("settle it by Outcomes::settle with the ID {id}").into());
            }
            Self::CommitUnknown { id: None, .. } => {
                "check whether it was applied before you run it again; RetryPolicy::outcomes \
                 settles this, and RetryPolicy::idempotent retries what is safe to repeat"
            }
            Self::OutcomeTable(table, error) => {
                return Some(outcome_table_remedy(*table, error).into());
            }
            Self::OutcomeExpired(_) => "settle within an hour",
            Self::TransactionTimedOut { unread_rows, .. } => match unread_rows {
                true => READ_ROWS,
                false => "make it shorter, or allow more time by RetryPolicy::timeout",
            },
            Self::JobFailed { .. } => {
                "an index that it was building exists but is invalid: drop it, fix the cause, \
                 recreate it"
            }
            Self::TransactionEnded => "leave COMMIT and ROLLBACK to `transaction`",
            Self::TransactionEscaped => {
                "await everything that uses the handle before the body returns"
            }
        };
        Some(remedy.into())
    }

    /// Writes what happened, without the remedy.
    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => f.write_str(&error.what()),
            Self::Connect(error) => error.what(f),
            Self::CheckoutTimeout { waited, cause } => {
                f.write_str("no connection was free")?;
                if let Some(waited) = waited {
                    write!(f, " within {}", Seconds(*waited))?;
                }
                match cause {
                    Some(cause) => {
                        f.write_str(", because none could be opened: ")?;
                        cause.what(f)
                    }
                    None => Ok(()),
                }
            }
            Self::Discarded(discard) => write!(f, "the connection cannot be used: {discard}"),
            Self::PoolClosed => f.write_str("the pool is closed"),
            Self::Query(error) if was_not_sent(error) => {
                write!(f, "statement was not sent: {}", OneLine(error))
            }
            Self::Query(error) => write!(f, "statement failed: {}", OneLine(error)),
            Self::NoRow => f.write_str("the query returned no row"),
            Self::SeveralRows => f.write_str("the query returned more than one row"),
            Self::StatementTimeout { after, unread_rows } => {
                write!(f, "statement had no reply within {}", Seconds(*after))?;
                unread(f, *unread_rows)
            }
            Self::Conflict { attempts, last } => write!(
                f,
                "transaction gave up after {attempts} attempts, rolled back each time: {last}"
            ),
            Self::RolledBack(cause) => {
                f.write_str("transaction was rolled back: ")?;
                cause.what(f)
            }
            Self::CommitUnknown { source, .. } => {
                f.write_str("the outcome of COMMIT is unknown: ")?;
                match source {
                    Some(error) => write!(f, "{}", OneLine(error)),
                    None => f.write_str("no reply in time"),
                }
            }
            Self::OutcomeTable(table, error) => outcome_table(f, *table, error),
            Self::OutcomeExpired(id) => write!(
                f,
                "the transaction {id} is too old: its row in the outcome table may have been \
                 swept, so that its outcome stays unknown"
            ),
            Self::TransactionTimedOut {
                after,
                attempts,
                unread_rows,
            } => {
                write!(
                    f,
                    "transaction did not reach its COMMIT within {}, in {attempts} attempts, and \
                     was rolled back",
                    Seconds(*after)
                )?;
                unread(f, *unread_rows)
            }
            Self::JobFailed { job_id, details } => write!(f, "job {job_id} failed: {details}"),
            Self::TransactionEnded => f.write_str(
                "the body ended its transaction itself, so that it can be neither committed nor \
                 run again",
            ),
            Self::TransactionEscaped => f.write_str(
                "a handle of the transaction outlived its body, so it was not committed",
            ),
        }
    }
}

fn outcome_table(f: &mut fmt::Formatter<'_>, table: Outcomes, error: &ServerError) -> fmt::Result {
    write!(f, "the outcome table {table} ")?;
    match TableProblem::of(error.code()) {
        Some(TableProblem::Missing) => f.write_str("does not exist"),
        Some(TableProblem::NotWritable) => write!(f, "may not be used: {error}"),
        _ => write!(f, "has another shape: {error}"),
    }
}

fn outcome_table_remedy(table: Outcomes, error: &ServerError) -> String {
    let create = table.create_table();
    match TableProblem::of(error.code()) {
        Some(TableProblem::Missing) => format!("run {create}"),
        Some(TableProblem::NotWritable) => {
            format!("run GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO the role")
        }
        _ => format!("create it by {create}"),
    }
}

fn unread(f: &mut fmt::Formatter<'_>, unread_rows: bool) -> fmt::Result {
    match unread_rows {
        true => f.write_str(UNREAD_ROWS),
        false => Ok(()),
    }
}

/// A duration in seconds, readable from milliseconds to minutes.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.0.as_secs_f64())
    }
}

const UNREAD_ROWS: &str = ": its reply waits behind rows of another query on the same connection \
                           that nobody reads";

const READ_ROWS: &str = "read or drop that query's rows first";
