//! The HTTP status and the documentation of each error.

use std::time::Duration;

use super::{ConfigError, Error, RollbackCause};
use crate::reason::Reason;
use crate::sqlstate::ServerError;

impl Error {
    /// Returns the status that an HTTP service should answer with.
    ///
    /// | status | errors |
    /// |---|---|
    /// | 409 Conflict | conflicts with other transactions, of a transaction or a statement |
    /// | 429 Too Many Requests | the cluster refuses connections: too many, or opened too fast |
    /// | 503 Service Unavailable | no connection, a lost one, a timeout, an unknown outcome |
    /// | 500 Internal Server Error | the rest: a setting, a statement or the code must change |
    ///
    /// Send [`retry_after`](Self::retry_after) with it. Violated constraints are 500 here, because
    /// only the application knows what they mean: check [`code`](Self::code) first.
    ///
    /// ```
    /// # fn answer(error: &dsql_conn::Error) -> (u16, Option<String>) {
    /// let retry_after = error.retry_after().map(|time| time.as_secs().to_string());
    /// (error.http_status(), retry_after)
    /// # }
    /// ```
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Conflict { .. } => 409,
            Self::Query(error) => match ServerError::of(error) {
                Some(error) if error.meaning().is_conflict() => 409,
                Some(error) if error.meaning().excludes_applied() => 500,
                Some(_) => 503,
                None if self.is_connection_lost() => 503,
                None => 500,
            },
            Self::Connect(_) | Self::CheckoutTimeout { .. } => match self.reason() {
                Some(Reason::RateExceeded | Reason::TooManyConnections) => 429,
                _ => 503,
            },
            Self::Discarded(_)
            | Self::PoolClosed
            | Self::StatementTimeout { .. }
            | Self::CommitUnknown { .. }
            | Self::OutcomeExpired(_)
            | Self::TransactionTimedOut { .. } => 503,
            Self::RolledBack(cause) => match cause {
                RollbackCause::StatementFailed(_) | RollbackCause::StatementPending => 500,
                RollbackCause::ConnectionLost
                | RollbackCause::CommitLost
                | RollbackCause::CommitRolledBack => 503,
            },
            Self::Config(_)
            | Self::NoRow
            | Self::SeveralRows
            | Self::OutcomeTable(..)
            | Self::JobFailed { .. }
            | Self::TransactionEnded
            | Self::TransactionEscaped => 500,
        }
    }

    /// Returns how long a client should wait before it sends its request again, for the header
    /// `Retry-After`.
    ///
    /// 1 second after a conflict; 5 seconds after a transient error; 60 seconds if somebody must
    /// first change a permission or a network. `None` if another request fails in the same way, or
    /// if this one [may have been applied](Self::may_have_applied): only the application knows
    /// whether it is safe to repeat.
    pub fn retry_after(&self) -> Option<Duration> {
        if self.may_have_applied() {
            return None;
        }
        let seconds = match (self.http_status(), self.reason()) {
            (409, _) => 1,
            (429, _) => 5,
            (503, Some(reason)) if !reason.is_transient() => 60,
            (503, _) => 5,
            _ => return None,
        };
        Some(Duration::from_secs(seconds))
    }

    /// Returns the address of the documentation about this error.
    ///
    /// It is an entry of the page "What went wrong": what you see, why, and what to do.
    pub fn docs_url(&self) -> String {
        let entry = match self.reason() {
            Some(reason) => reason.as_str(),
            None => self.entry(),
        };
        format!("{PAGE}#{entry}")
    }

    /// Returns the name of the error's entry in the documentation.
    pub(crate) fn entry(&self) -> &'static str {
        match self {
            Self::Config(error) => error.entry(),
            Self::Connect(error) => error.reason().as_str(),
            Self::CheckoutTimeout { .. } => "checkout_timeout",
            Self::Discarded(_) => "discarded",
            Self::PoolClosed => "pool_closed",
            Self::Query(_) => "query",
            Self::NoRow => "no_row",
            Self::SeveralRows => "several_rows",
            Self::StatementTimeout { .. } => "statement_timeout",
            Self::Conflict { .. } => "conflict",
            Self::RolledBack(_) => "rolled_back",
            Self::CommitUnknown { .. } => "commit_unknown",
            Self::OutcomeTable(..) => "outcome_table",
            Self::OutcomeExpired(_) => "outcome_expired",
            Self::TransactionTimedOut { .. } => "transaction_timed_out",
            Self::JobFailed { .. } => "job_failed",
            Self::TransactionEnded => "transaction_ended",
            Self::TransactionEscaped => "transaction_escaped",
        }
    }
}

impl ConfigError {
    /// Returns the address of the documentation about this error.
    pub fn docs_url(&self) -> String {
        format!("{PAGE}#{}", self.entry())
    }

    fn entry(&self) -> &'static str {
        match self {
            Self::Endpoint(_) => "endpoint",
            Self::Missing { .. } | Self::Empty { .. } => "variable_missing",
            Self::Value { .. } => "value",
            Self::Setting { .. } => "setting",
            Self::Url { .. } => "url",
            Self::Certificates { .. } => "certificates",
            Self::NoTlsProvider => "no_tls_provider",
        }
    }
}

impl Reason {
    /// Returns the address of the documentation about this reason.
    pub fn docs_url(self) -> String {
        format!("{PAGE}#{}", self.as_str())
    }
}

/// The module `what_went_wrong`, which shows `docs/what-went-wrong.md`.
const PAGE: &str = "https://docs.rs/dsql-conn/latest/dsql_conn/what_went_wrong/index.html";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;
    use crate::scripted::{error, login_error};

    fn connect(reason: Reason) -> Error {
        Error::Connect(Failure::new("host", "user", reason).into())
    }

    fn query(code: &str, message: &str) -> Error {
        Error::Query(login_error(&error("ERROR", code, message, None)).unwrap())
    }

    #[test]
    fn status_and_time_to_wait_are_those_of_the_table() {
        let conflict = query("40001", "change conflicts (OC000)");
        let unknown = Error::CommitUnknown {
            source: None,
            id: None,
        };
        let full = Error::CheckoutTimeout {
            waited: None,
            cause: None,
        };
        for (error, status, seconds) in [
            (conflict, 409, Some(1)),
            (connect(Reason::RateExceeded), 429, Some(5)),
            (connect(Reason::TooManyConnections), 429, Some(5)),
            (connect(Reason::WakingUp), 503, Some(5)),
            (full, 503, Some(5)),
            (Error::PoolClosed, 503, Some(5)),
            // Somebody must change a permission first.
            (connect(Reason::NotAuthorized), 503, Some(60)),
            // They may have been applied.
            (unknown, 503, None),
            (query("XX000", "server unavailable"), 503, None),
            (query("23505", "duplicate key"), 500, None),
            (ConfigError::NoTlsProvider.into(), 500, None),
            (Error::TransactionEscaped, 500, None),
        ] {
            assert_eq!(error.http_status(), status, "{error}");
            let told = error.retry_after().map(|time| time.as_secs());
            assert_eq!(told, seconds, "{error}");
        }
    }
}
