//! The query of a request.

use lambda_http::{Request, RequestExt};

use super::Refusal;
use crate::page::{Cursor, CursorError};

/// Reads `limit`, which defaults to 20, and `cursor`.
pub(super) fn page(request: &Request) -> Result<(u8, Option<Cursor>), Refusal> {
    expect_parameters(request, &["limit", "cursor"])?;
    let query = request.query_string_parameters_ref();
    let first = |name| query.and_then(|query| query.first(name));
    let limit = match first("limit") {
        None => 20,
        Some(limit) => match limit.parse() {
            Ok(number @ 1..=100_u8) if !limit.starts_with('+') => number,
            _ => return Err(Refusal::bad("limit is a number from 1 to 100")),
        },
    };
    let after = first("cursor").map(str::parse).transpose();
    let after = after.map_err(|error: CursorError| Refusal::bad(error.to_string()))?;
    Ok((limit, after))
}

/// Refuses unknown and repeated parameters. Without this check a misspelt name would be ignored
/// silently.
pub(super) fn expect_parameters(request: &Request, known: &[&str]) -> Result<(), Refusal> {
    let Some(query) = request.query_string_parameters_ref() else {
        return Ok(());
    };
    for (name, _) in query.iter() {
        if !known.contains(&name) {
            return Err(Refusal::bad(match known {
                [] => "this path takes no query parameters".to_owned(),
                known => format!(
                    "unknown query parameter, this path takes {}",
                    known.join(", ")
                ),
            }));
        }
        if query.all(name).is_some_and(|values| values.len() > 1) {
            return Err(Refusal::bad(format!("{name} is there more than once")));
        }
    }
    Ok(())
}
