//! Why a request failed, and the response to it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dsql_conn::Error;
use serde_json::json;
use tokio_postgres::error::SqlState;

/// Why a request failed.
#[derive(Debug)]
pub enum Failure {
    /// No note has this ID.
    NoSuchNote,
    /// The title is empty or too long.
    Title,
    /// The database failed the request.
    Database(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::NoSuchNote => answer(StatusCode::NOT_FOUND, "there is no such note"),
            Self::Title => answer(StatusCode::UNPROCESSABLE_ENTITY, "1 to 200 bytes of title"),
            // Only the application knows what a violated constraint means.
            Self::Database(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                answer(StatusCode::CONFLICT, "another note has this title")
            }
            Self::Database(error) => of_database(&error),
        }
    }
}

/// The client gets the status and when to try again; the log gets the error, which names the
/// cluster, and where it is documented.
fn of_database(error: &Error) -> Response {
    let status = error.http_status();
    match error.retry_after() {
        Some(_) => tracing::warn!(%error, docs = error.docs_url(), "no result"),
        None => tracing::error!(%error, docs = error.docs_url(), "no result"),
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let what = match error.may_have_applied() {
        true => "the note may have been saved: look for it before you send it again",
        false => "nothing was saved",
    };
    let mut response = answer(status, what);
    if let Some(time) = error.retry_after() {
        let seconds = HeaderValue::from(time.as_secs());
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

fn answer(status: StatusCode, what: &str) -> Response {
    (status, Json(json!({ "error": what }))).into_response()
}
