//! Says what the server's answer to a write leaves open: whether it was applied.

use tokio_postgres::error::SqlState;

/// Whether the server refused a `COMMIT`, or a statement by itself, in a way that leaves no doubt that nothing was applied.
///
/// Anything else leaves it open: a lost connection, the last word of a session, SQLSTATE classes for connections, operators and systems, 40003, and
/// `XX000 server unavailable`, after which the connection lives on:
/// [troubleshooting](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html).
pub(crate) fn is_refused(error: &tokio_postgres::Error) -> bool {
    const REFUSING: [&str; 14] = [
        "0A", "21", "22", "23", "25", "26", "2B", "3F", "40", "42", "44", "53", "54", "55",
    ];
    error.as_db_error().is_some_and(|error| {
        let state = error.code();
        let is_refusing = REFUSING.iter().any(|class| state.code().starts_with(class));
        is_refusing
            && *state != SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
            && !matches!(error.severity(), "FATAL" | "PANIC")
    })
}

/// Whether the server refused to run a statement for having been prepared too long ago. It has not run then.
pub(crate) fn is_outdated(code: &str, message: &str) -> bool {
    match code {
        INVALID_STATEMENT_NAME => true,
        FEATURE_NOT_SUPPORTED => message == "cached plan must not change result type",
        _ => false,
    }
}

const INVALID_STATEMENT_NAME: &str = "26000";
const FEATURE_NOT_SUPPORTED: &str = "0A000";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{error, login_error};

    fn leaves_no_doubt(severity: &str, code: &str) -> bool {
        is_refused(&login_error(&error(severity, code, "no", None)).expect("it is an error"))
    }

    #[test]
    fn the_code_and_whether_the_session_goes_on_tell_a_refusal() {
        for code in ["23505", "40001", "40P01", "42P01", "25P02", "54000"] {
            assert!(leaves_no_doubt("ERROR", code), "{code}");
            assert!(!leaves_no_doubt("FATAL", code), "{code}");
            assert!(!leaves_no_doubt("PANIC", code), "{code}");
        }
        for code in ["08006", "40003", "57P01", "58030", "XX000", "?", ""] {
            assert!(!leaves_no_doubt("ERROR", code), "{code}");
        }
        assert!(!is_refused(&login_error(b"").expect("it is an error")));
    }
}
