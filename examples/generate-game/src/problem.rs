//! Errors of a request, and the problem document that describes them.
//!
//! <https://www.rfc-editor.org/rfc/rfc9457>. The gateway's own answers have the same form:
//! `gateway-responses.json`.

use std::error::Error as _;
use std::time::Duration;

use dsql_conn::Error;
use dsql_conn::tokio_postgres::error::SqlState;
use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Response};
use serde_json::json;

use crate::log;
use crate::route::{Refusal, Route};

/// Why a request failed. The texts are for the client, the causes for the log.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request was wrong.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Answered with 404.
    #[error("there is no game of this id")]
    NoSuchGame,
    /// Answered with 412.
    #[error("the game is not the version that If-Match names: get it again")]
    VersionChanged,
    /// Answered with 422, as the draft asks for a key that was used for another request.
    #[error("this Idempotency-Key belongs to a game of another title: choose another key")]
    KeyTaken,
    /// Without a source, in which `retry` would find a failed login and take it for a failed
    /// statement. The pool has retried already.
    #[error("database unavailable")]
    Unreachable(Error),
    /// The connection was lost, or the deadline passed, while the statement was in flight.
    #[error("database unavailable")]
    NoAnswer {
        /// The statement may have been applied, or not.
        write: bool,
        /// A retry is harmless.
        idempotent: bool,
        /// `None` if the deadline passed.
        #[source]
        cause: Option<Error>,
    },
    /// Every attempt was rolled back.
    #[error("database busy")]
    Conflict(#[source] Error),
    /// The database refused the statement.
    #[error("internal error")]
    Statement(#[source] Error),
}

impl Failure {
    /// Classifies the error of a statement of this route.
    pub fn of_statement(error: Error, route: &Route) -> Self {
        if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) {
            return Self::Conflict(error);
        }
        match error.may_have_applied() {
            true => Self::no_answer(route, Some(error)),
            false => Self::Statement(error),
        }
    }

    /// Classifies the error of a transaction that saves a game without a key.
    pub fn of_transaction(error: Error) -> Self {
        match error {
            Error::Config(_)
            | Error::Connect(_)
            | Error::CheckoutTimeout { .. }
            | Error::PoolClosed => Self::Unreachable(error),
            Error::Conflict { .. } => Self::Conflict(error),
            Error::CommitUnknown { .. } => Self::NoAnswer {
                write: true,
                idempotent: false,
                cause: Some(error),
            },
            Error::RolledBack(_) | Error::TransactionTimedOut { .. } => Self::not_saved(error),
            _ if error.is_connection_lost() => Self::not_saved(error),
            _ => Self::Statement(error),
        }
    }

    /// No answer, and nothing was saved.
    fn not_saved(error: Error) -> Self {
        Self::NoAnswer {
            write: false,
            idempotent: true,
            cause: Some(error),
        }
    }

    /// The error of a statement without a reply.
    pub fn no_answer(route: &Route, cause: Option<Error>) -> Self {
        Self::NoAnswer {
            write: route.is_write(),
            idempotent: route.is_idempotent(),
            cause,
        }
    }

    /// Returns whether the statement may have been applied.
    pub fn is_unknown_outcome(&self) -> bool {
        matches!(self, Self::NoAnswer { write: true, .. })
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(Refusal::BadRequest(_)) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::MethodNotAllowed { .. }) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused(Refusal::UnsupportedMediaType) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Refused(Refusal::PreconditionRequired) => StatusCode::PRECONDITION_REQUIRED,
            Self::Refused(Refusal::NotFound) | Self::NoSuchGame => StatusCode::NOT_FOUND,
            Self::VersionChanged => StatusCode::PRECONDITION_FAILED,
            Self::KeyTaken => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(error) | Self::Unreachable(error) => {
                StatusCode::from_u16(error.http_status())
                    .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::NoAnswer { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Statement(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a stable word for clients and alarms.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(error) => Some(match (error.reason(), error) {
                (Some(reason), _) => reason.as_str(),
                (None, Error::PoolClosed) => "shutting_down",
                (None, Error::CheckoutTimeout { .. }) => "timeout",
                (None, _) => "unavailable",
            }),
            Self::NoAnswer { write: true, .. } => Some("outcome_unknown"),
            Self::NoAnswer { write: false, .. } => Some("no_answer"),
            Self::Conflict(_) => Some("conflict"),
            Self::KeyTaken => Some("idempotency_key_taken"),
            Self::VersionChanged => Some("version_changed"),
            Self::Refused(_) | Self::NoSuchGame | Self::Statement(_) => None,
        }
    }

    /// Logs the cause unless it is the client's error, and returns the problem document.
    pub fn into_response(self, request_id: &str) -> Response<Body> {
        let (status, reason) = (self.status(), self.reason());
        if status.is_server_error() || matches!(self, Self::Unreachable(_) | Self::Conflict(_)) {
            let cause = match &self {
                Self::Unreachable(error) => error,
                failure => failure.source().unwrap_or(failure),
            };
            log::failed_request(request_id, reason, cause);
        }

        let mut body = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.to_string(),
            "request_id": request_id,
        });
        if let Some(reason) = reason {
            body["reason"] = json!(reason);
        }
        let retry_after = self.retry_after();
        let mut response = Response::new(Body::Text(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Self::Refused(Refusal::MethodNotAllowed { allow }) = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(time) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(time.as_secs()));
        }
        response
    }

    /// Returns how long the client should wait before it sends the request again.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable(error) | Self::Conflict(error) => error.retry_after(),
            // A client that repeats the request would save the game twice.
            Self::NoAnswer { idempotent, .. } => idempotent.then_some(RETRY_AFTER),
            _ => None,
        }
    }
}

const MEDIA_TYPE: &str = "application/problem+json";

/// A statement without a reply: the connection is replaced by then.
const RETRY_AFTER: Duration = Duration::from_secs(5);
