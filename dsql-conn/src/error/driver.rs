//! Reads the driver's errors.

use std::error::Error as StdError;
use std::{fmt, io};

use crate::sqlstate::ServerError;

/// Writes a driver's error in one line: the server's refusal, or every cause.
pub(super) struct OneLine<'a>(pub(super) &'a tokio_postgres::Error);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = ServerError::of(self.0) {
            return error.fmt(f);
        }
        if self.0.is_closed() {
            return f.write_str("the connection was lost");
        }
        let mut said = self.0.to_string();
        match unfit_parameter(&said) {
            Some(name) => write!(f, "parameter {name}")?,
            None => f.write_str(&said)?,
        }
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

/// Returns whether the connection was lost while the statement was in flight.
pub(crate) fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed()
        || !was_not_sent(error) && error.source().is_some_and(|cause| cause.is::<io::Error>())
}

/// Returns whether the driver refused the statement before it sent anything: its parameters do not
/// fit, or a text has a NUL in it.
///
/// The driver does not expose the kind of its errors, so this function reads their messages. The
/// tests cause each of them in the driver itself.
pub(crate) fn was_not_sent(error: &tokio_postgres::Error) -> bool {
    if error.as_db_error().is_some() || error.is_closed() {
        return false;
    }
    let said = error.to_string();
    unfit_parameter(&said).is_some()
        || said.starts_with("error encoding message to server")
        || (said.starts_with("expected ") && said.contains(" parameter"))
}

/// Returns whether a query returned another number of rows than its method expects.
pub(crate) fn is_row_count(error: &tokio_postgres::Error) -> bool {
    error.to_string() == "query returned an unexpected number of rows"
}

/// Returns the name in SQL, such as `$1`, of the parameter that this message says does not fit. The
/// driver counts from 0.
fn unfit_parameter(said: &str) -> Option<String> {
    let index = said.strip_prefix("error serializing parameter ")?;
    Some(format!("${}", index.parse::<usize>().ok()? + 1))
}
