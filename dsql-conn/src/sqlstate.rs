//! Classifies the server's errors: one table for statements, transactions, retries and logins.
//!
//! Adding a retryable SQLSTATE is one line in [`TABLE`].

use std::fmt;

use tokio_postgres::error::{DbError, SqlState};

use crate::reason::Reason;

/// An error that the server answered.
///
/// ```
/// # fn example(error: &dsql_conn::Error) {
/// if let Some(server) = error.server_error() {
///     println!("{}: {}", server.code().code(), server.message());
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    severity: Severity,
    code: SqlState,
    message: String,
}

/// Whether the session continues after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    /// `FATAL` or `PANIC`: the server closes the connection.
    Fatal,
}

/// What an error of a statement or of `COMMIT` means for the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Another transaction wrote the same rows (OC000). Nothing was applied.
    DataConflict,
    /// The session had not seen the latest schema change (OC001). Nothing was applied.
    SchemaConflict,
    /// The prepared statement is older than the schema, or unknown to the server. The statement did
    /// not run.
    StalePlan,
    /// The server was unavailable for this statement. The session continues; the outcome of a write
    /// is unknown.
    Unavailable,
    /// The server refused the statement. Nothing was applied.
    Refused,
    /// The outcome of a write is unknown.
    Ambiguous,
}

impl Meaning {
    /// Returns whether the error proves that nothing was applied.
    pub(crate) fn excludes_applied(self) -> bool {
        !matches!(self, Self::Unavailable | Self::Ambiguous)
    }

    pub(crate) fn is_conflict(self) -> bool {
        matches!(self, Self::DataConflict | Self::SchemaConflict)
    }
}

impl ServerError {
    /// Returns the SQLSTATE.
    pub fn code(&self) -> &SqlState {
        &self.code
    }

    /// Returns the server's message.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns whether the server closed the connection after this error.
    pub fn is_fatal(&self) -> bool {
        self.severity == Severity::Fatal
    }

    pub(crate) fn meaning(&self) -> Meaning {
        let row = row(self.code.code(), &self.message);
        match row.map_or(Meaning::Ambiguous, |row| row.meaning) {
            // The session may have ended between the write and its reply.
            Meaning::Refused if self.is_fatal() => Meaning::Ambiguous,
            meaning => meaning,
        }
    }

    /// Returns the reason for a refused login, if the SQLSTATE determines it. Most refusals differ
    /// only in their messages.
    pub(crate) fn login_reason(&self) -> Option<Reason> {
        row(self.code.code(), &self.message)?.at_login
    }

    /// Reads an `ErrorResponse`, which may be cut short.
    pub(crate) fn parse(body: &[u8]) -> Self {
        let mut error = Self {
            severity: Severity::Error,
            code: SqlState::from_code(""),
            message: String::new(),
        };
        for field in body.split(|&byte| byte == 0) {
            let Some((kind, value)) = field.split_first() else {
                continue;
            };
            let value = String::from_utf8_lossy(value);
            match kind {
                // `S` is translated and `V` is not; `V` comes later.
                b'S' | b'V' => error.severity = Severity::parse(&value),
                b'C' => error.code = SqlState::from_code(&value),
                b'M' => error.message = value.into_owned(),
                _ => {}
            }
        }
        error
    }

    /// Returns the server's error behind the driver's, if the server answered.
    pub(crate) fn of(error: &tokio_postgres::Error) -> Option<Self> {
        error.as_db_error().map(Self::from)
    }
}

impl From<&DbError> for ServerError {
    fn from(error: &DbError) -> Self {
        Self {
            severity: Severity::parse(error.severity()),
            code: error.code().clone(),
            message: error.message().to_owned(),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code.code())
    }
}

impl Severity {
    fn parse(severity: &str) -> Self {
        match severity {
            "FATAL" | "PANIC" => Self::Fatal,
            _ => Self::Error,
        }
    }
}

/// One line of the table.
struct Row {
    /// An SQLSTATE, or the two characters of its class.
    code: &'static str,
    /// What the message must contain.
    message: &'static str,
    meaning: Meaning,
    at_login: Option<Reason>,
}

fn row(code: &str, message: &str) -> Option<&'static Row> {
    TABLE
        .iter()
        .find(|row| code.starts_with(row.code) && message.contains(row.message))
}

const fn session(code: &'static str, message: &'static str, meaning: Meaning) -> Row {
    Row {
        code,
        message,
        meaning,
        at_login: None,
    }
}

const fn login(code: &'static str, meaning: Meaning, reason: Reason) -> Row {
    Row {
        code,
        message: "",
        meaning,
        at_login: Some(reason),
    }
}

/// The first matching line counts. An SQLSTATE that is not listed leaves the outcome unknown: the
/// classes for connections, operators and systems, and codes that were never seen.
///
/// Sources: [concurrency control][occ], [troubleshooting][], [quotas][] and PostgreSQL's
/// [error codes][].
///
/// [occ]: https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html
/// [troubleshooting]: https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html
/// [quotas]: https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html
/// [error codes]: https://www.postgresql.org/docs/16/errcodes-appendix.html
const TABLE: &[Row] = &[
    // A proxy, or a session that ends while it begins, also answers 40001 at login.
    Row {
        at_login: Some(Reason::Unavailable),
        ..session("40001", "(OC001)", Meaning::SchemaConflict)
    },
    login("40001", Meaning::DataConflict, Reason::Unavailable),
    session("40003", "", Meaning::Ambiguous),
    // The driver's name for a statement is unknown, or its result has other columns now.
    session("26000", "", Meaning::StalePlan),
    session(
        "0A000",
        "cached plan must not change result type",
        Meaning::StalePlan,
    ),
    // "The connection remains active, retry without reconnecting"; the outcome of a write is
    // unknown.
    login("XX000", Meaning::Unavailable, Reason::Unavailable),
    login("53300", Meaning::Refused, Reason::TooManyConnections),
    login("53400", Meaning::Refused, Reason::RateExceeded),
    login("0A000", Meaning::Refused, Reason::SettingRefused),
    // An invalid value, or a setting that PostgreSQL does not know.
    Row {
        message: "parameter",
        ..login("22023", Meaning::Refused, Reason::SettingRefused)
    },
    Row {
        message: "parameter",
        ..login("42704", Meaning::Refused, Reason::SettingRefused)
    },
    login("3D000", Meaning::Refused, Reason::DatabaseMissing),
    login("57P01", Meaning::Ambiguous, Reason::Unavailable),
    login("57P02", Meaning::Ambiguous, Reason::Unavailable),
    login("57P03", Meaning::Ambiguous, Reason::Unavailable),
    session("0A", "", Meaning::Refused),
    session("21", "", Meaning::Refused),
    session("22", "", Meaning::Refused),
    session("23", "", Meaning::Refused),
    session("25", "", Meaning::Refused),
    session("2B", "", Meaning::Refused),
    session("3F", "", Meaning::Refused),
    session("40", "", Meaning::Refused),
    session("42", "", Meaning::Refused),
    session("44", "", Meaning::Refused),
    session("53", "", Meaning::Refused),
    session("54", "", Meaning::Refused),
    session("55", "", Meaning::Refused),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{error, login_error};

    fn meaning(severity: &str, code: &str, message: &str) -> Meaning {
        let answer = error(severity, code, message, None);
        let from_wire = ServerError::parse(&answer[5..]);
        let from_driver = ServerError::of(&login_error(&answer).unwrap()).unwrap();
        assert_eq!(from_wire, from_driver);
        from_wire.meaning()
    }

    #[test]
    fn an_error_means_the_same_on_the_wire_and_from_the_driver() {
        for (code, message, expected) in [
            ("40001", "changed (OC000)", Meaning::DataConflict),
            ("40001", "changed (OC001)", Meaning::SchemaConflict),
            ("40001", "could not serialize", Meaning::DataConflict),
            ("26000", "no such statement", Meaning::StalePlan),
            (
                "0A000",
                "cached plan must not change result type",
                Meaning::StalePlan,
            ),
            ("0A000", "LISTEN not supported", Meaning::Refused),
            ("XX000", "server unavailable", Meaning::Unavailable),
            ("23505", "duplicate key", Meaning::Refused),
            ("40P01", "deadlock", Meaning::Refused),
            ("25P02", "aborted", Meaning::Refused),
            ("54000", "too many rows", Meaning::Refused),
            ("40003", "unknown", Meaning::Ambiguous),
            ("08006", "lost", Meaning::Ambiguous),
            ("57P01", "shutting down", Meaning::Ambiguous),
            ("58030", "disk", Meaning::Ambiguous),
            ("?", "?", Meaning::Ambiguous),
        ] {
            assert_eq!(meaning("ERROR", code, message), expected, "{code}");
        }
    }

    #[test]
    fn a_fatal_error_is_ambiguous_unless_it_is_a_conflict() {
        for severity in ["FATAL", "PANIC"] {
            assert_eq!(meaning(severity, "23505", "no"), Meaning::Ambiguous);
            assert_eq!(meaning(severity, "54000", "no"), Meaning::Ambiguous);
            let conflict = meaning(severity, "40001", "change conflicts (OC000)");
            assert_eq!(conflict, Meaning::DataConflict);
        }
    }

    #[test]
    fn only_an_open_outcome_may_have_been_applied() {
        for (meaning, excludes_applied) in [
            (Meaning::DataConflict, true),
            (Meaning::SchemaConflict, true),
            (Meaning::StalePlan, true),
            (Meaning::Refused, true),
            (Meaning::Unavailable, false),
            (Meaning::Ambiguous, false),
        ] {
            assert_eq!(meaning.excludes_applied(), excludes_applied, "{meaning:?}");
        }
    }
}
