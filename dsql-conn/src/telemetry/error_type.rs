//! Names errors for `error.type`, with a small set of stable names.

use tokio_postgres::error::SqlState;

use crate::error::{ConnectError, Error, is_lost};

/// The `error.type` of an error, and its SQLSTATE if the server answered with one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorType<'a> {
    pub(super) name: &'a str,
    pub(super) code: Option<&'a SqlState>,
}

impl<'a> ErrorType<'a> {
    /// No reply came in time.
    pub(crate) const TIMED_OUT: Self = Self {
        name: "timed_out",
        code: None,
    };

    pub(super) fn of_connect(error: &'a ConnectError) -> Self {
        Self {
            name: error.reason().as_str(),
            code: error.code(),
        }
    }

    pub(crate) fn of_driver(error: &'a tokio_postgres::Error) -> Self {
        let code = error.code();
        Self {
            name: match code {
                Some(code) => code.code(),
                None if is_lost(error) => LOST,
                None => OTHER,
            },
            code,
        }
    }
}

/// The SQLSTATE if the server answered with one, the [`Reason`](crate::Reason) if no connection
/// could be opened, else the kind of the error.
impl<'a> From<&'a Error> for ErrorType<'a> {
    fn from(error: &'a Error) -> Self {
        if let Some(code) = error.code() {
            return Self {
                name: code.code(),
                code: Some(code),
            };
        }
        let name = match error {
            Error::Connect(error) => return Self::of_connect(error),
            Error::Config(_) => "config",
            Error::CheckoutTimeout { .. } => "checkout_timeout",
            Error::Discarded(reason) => reason.code(),
            Error::PoolClosed => "pool_closed",
            Error::StatementTimeout { .. } => "statement_timeout",
            _ if error.is_connection_lost() => LOST,
            _ => OTHER,
        };
        Self { name, code: None }
    }
}

const LOST: &str = "connection_lost";

/// The conventions' value for every other error.
const OTHER: &str = "_OTHER";
