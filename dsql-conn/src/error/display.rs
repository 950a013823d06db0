//! The wording of [`Error`].

use std::fmt;
use std::time::Duration;

use super::Error;
use super::driver::OneLine;
use crate::outcomes::{Outcomes, TableProblem};
use crate::sqlstate::ServerError;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Connect(error) => error.fmt(f),
            Self::CheckoutTimeout { waited, cause } => {
                f.write_str("no connection was free")?;
                if let Some(waited) = waited {
                    write!(f, " within {}", Seconds(*waited))?;
                }
                match cause {
                    Some(cause) => write!(f, ", because none could be opened: {cause}"),
                    None => f.write_str(
                        "; all are in use: return them sooner, or raise the pool's size",
                    ),
                }
            }
            Self::Discarded(discard) => write!(
                f,
                "the connection was closed instead of being checked out: {discard}; \
                 take another one"
            ),
            Self::PoolClosed => f.write_str("the pool is closed; open a new one"),
            Self::Query(error) => write!(f, "statement failed: {}", OneLine(error)),
            Self::StatementTimeout { after, unread_rows } => {
                write!(f, "statement had no reply within {}", Seconds(*after))?;
                f.write_str(match unread_rows {
                    true => UNREAD_ROWS,
                    false => "; the server may still run it: look before you run it again",
                })
            }
            Self::Conflict { attempts, last } => write!(
                f,
                "transaction gave up after {attempts} attempts, rolled back each time: {last}; \
                 make it smaller, spread its rows, or allow more attempts"
            ),
            Self::RolledBack(cause) => write!(f, "transaction was rolled back: {cause}"),
            Self::CommitUnknown { source, id } => {
                f.write_str("the outcome of COMMIT is unknown: ")?;
                match source {
                    Some(error) => OneLine(error).fmt(f)?,
                    None => f.write_str("no reply in time")?,
                }
                match id {
                    Some(id) => write!(f, "; settle it by Outcomes::settle with the ID {id}"),
                    None => f.write_str("; look whether it was applied before you run it again"),
                }
            }
            Self::OutcomeTable(table, error) => outcome_table(f, *table, error),
            Self::OutcomeExpired(id) => write!(
                f,
                "the transaction {id} is too old: its row in the outcome table may have been \
                 swept, so that its outcome stays unknown; settle within an hour"
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
                f.write_str(match unread_rows {
                    true => UNREAD_ROWS,
                    false => "; make it shorter, or allow more time by RetryPolicy::timeout",
                })
            }
            Self::JobFailed { job_id, details } => write!(
                f,
                "job {job_id} failed: {details}; an index that it was building exists but is \
                 invalid: drop it, fix the cause, recreate it"
            ),
            Self::TransactionEnded => f.write_str(
                "the body ended its transaction itself, so that it can be neither committed nor \
                 run again; leave COMMIT and ROLLBACK to `transaction`",
            ),
            Self::TransactionEscaped => f.write_str(
                "a handle of the transaction outlived its body, so it was not committed; await \
                 everything that uses the handle before the body returns",
            ),
        }
    }
}

fn outcome_table(f: &mut fmt::Formatter<'_>, table: Outcomes, error: &ServerError) -> fmt::Result {
    let create = table.create_table();
    write!(f, "the outcome table {table} ")?;
    match TableProblem::of(error.code()) {
        Some(TableProblem::Missing) => write!(f, "does not exist; run {create}"),
        Some(TableProblem::NotWritable) => write!(
            f,
            "may not be used: {error}; run GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO the \
             role"
        ),
        _ => write!(f, "has another shape: {error}; create it by {create}"),
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
                           that nobody reads; read or drop that query's rows first";
