//! What to do about a server's refusal of a statement.

use std::fmt;

/// Appends the remedy to the place of a failure.
pub(super) fn write(f: &mut fmt::Formatter<'_>, error: &tokio_postgres::Error) -> fmt::Result {
    let code = error.code().map_or("", |code| code.code());
    match of(code) {
        Some(remedy) => write!(f, "; {remedy}"),
        None => f.write_str("; fix the cause and run again"),
    }
}

/// The limits are those of the
/// [quotas](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html).
fn of(code: &str) -> Option<&'static str> {
    match code {
        "54000" => Some(
            "a transaction takes at most 3,000 rows, 10 MiB and 5 minutes: write several \
             statements",
        ),
        "0A000" => Some("the service does not support it: write it differently"),
        "42501" => Some("the role lacks a permission: run migrations as admin"),
        "23502" | "23503" | "23505" | "23514" => {
            Some("the rows in the table do not allow it: fix them in a statement before it")
        }
        _ => None,
    }
}
