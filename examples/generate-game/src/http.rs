//! Answers a request: its route, carried out on a pooled connection, as a JSON response.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, SystemTime};

use dsql_conn::tokio_postgres;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Connection, Error, Pool, RetryPolicy, retry};
use lambda_http::http::{HeaderValue, StatusCode, header};
use lambda_http::{Body, Request, RequestExt, Response};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use crate::game::NewGame;
use crate::log;
use crate::route::{Refusal, Route};
use crate::store;

/// Answers one event. Whatever goes wrong becomes a response that hides the internals, and a
/// line in the log that tells them.
pub async fn answer(request: &Request, pool: &Pool) -> Response<Body> {
    let (request_id, deadline) = match request.lambda_context_ref() {
        Some(context) => (context.request_id.as_str(), context.deadline()),
        None => ("", SystemTime::now() + WITHOUT_CONTEXT),
    };
    let answer = match Route::of(request) {
        Ok(route) => carry_out(&route, pool, deadline - MARGIN).await,
        Err(refusal) => Err(refusal.into()),
    };
    answer.unwrap_or_else(|failure| failure.into_response(request_id))
}

/// Checks out a connection and runs the route's one statement on it, both until the deadline.
async fn carry_out(
    route: &Route,
    pool: &Pool,
    deadline: SystemTime,
) -> Result<Response<Body>, Failure> {
    let connection = pool.get_by(deadline).await.map_err(Failure::Unreachable)?;
    // Behind a clock that jumped nothing is left: the statement fails instead of hanging.
    let left = deadline
        .duration_since(SystemTime::now())
        .unwrap_or_default();
    // Each conflict is rolled back, so nothing is saved twice. The usual cause is a migration since
    // the last statement of this session, which the next statement already knows.
    match timeout(left, retry(RETRIES, || run(route, &connection))).await {
        Ok(Ok(response)) => response.ok_or(Failure::NoSuchGame),
        Ok(Err(error)) if is_conflict(&error) => Err(Failure::Conflict(error)),
        Ok(Err(error)) if is_answer(&error) => Err(Failure::Statement(error)),
        Ok(Err(error)) => Err(Failure::no_answer(route, Some(error))),
        Err(_) => Err(Failure::no_answer(route, None)),
    }
}

/// Returns nothing when the game that was asked for does not exist.
async fn run(
    route: &Route,
    connection: &Connection,
) -> Result<Option<Response<Body>>, tokio_postgres::Error> {
    Ok(match route {
        Route::Generate { title } => {
            let game = NewGame::random(title.clone(), &mut rand::rng());
            let game = store::insert(connection, &game).await?;
            Some(json(StatusCode::CREATED, &game))
        }
        Route::Find { id } => store::find(connection, *id)
            .await?
            .map(|game| json(StatusCode::OK, &game)),
        Route::Newest { limit } => {
            let games = store::newest(connection, *limit).await?;
            Some(json(StatusCode::OK, &BTreeMap::from([("games", games)])))
        }
    })
}

/// Why there is no good answer. The texts are for the client; the causes are for the log.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("there is no game of this id")]
    NoSuchGame,
    #[error("database unavailable")]
    Unreachable(#[source] Error),
    /// The connection was lost, or the time was up, with the statement under way.
    #[error("database unavailable")]
    NoAnswer {
        /// It may have been saved, or not.
        saving: bool,
        #[source]
        cause: Option<tokio_postgres::Error>,
    },
    /// Rolled back every time it was tried.
    #[error("database busy")]
    Conflict(#[source] tokio_postgres::Error),
    #[error("internal error")]
    Statement(#[source] tokio_postgres::Error),
}

impl Failure {
    fn no_answer(route: &Route, cause: Option<tokio_postgres::Error>) -> Self {
        Self::NoAnswer {
            saving: matches!(route, Route::Generate { .. }),
            cause,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(Refusal::BadRequest(_)) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::MethodNotAllowed { .. }) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused(Refusal::NotFound) | Self::NoSuchGame => StatusCode::NOT_FOUND,
            Self::Unreachable(_) | Self::NoAnswer { .. } | Self::Conflict(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Statement(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a word that stays the same from release to release, for clients and alarms.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(error) => Some(match (error.reason(), error) {
                (Some(reason), _) => reason.code(),
                (None, Error::PoolClosed) => "shutting_down",
                (None, Error::CheckoutTimeout { .. }) => "timeout",
                (None, _) => "unavailable",
            }),
            Self::NoAnswer { saving: true, .. } => Some("outcome_unknown"),
            Self::NoAnswer { saving: false, .. } => Some("no_answer"),
            Self::Conflict(_) => Some("conflict"),
            Self::Refused(_) | Self::NoSuchGame | Self::Statement(_) => None,
        }
    }

    fn into_response(self, request_id: &str) -> Response<Body> {
        let (status, reason) = (self.status(), self.reason());
        if status.is_server_error() {
            log::failure("request failed", reason, self.source().unwrap_or(&self));
        }

        let mut body = json!({ "error": self.to_string(), "request_id": request_id });
        if let Some(reason) = reason {
            body["reason"] = json!(reason);
        }
        let mut response = json(status, &body);
        match self {
            Self::Refused(Refusal::MethodNotAllowed { allow }) => {
                let allow = HeaderValue::from_static(allow);
                response.headers_mut().insert(header::ALLOW, allow);
            }
            // Who is told to come back would save the game a second time.
            Self::NoAnswer { saving: true, .. } => {}
            Self::Unreachable(_) | Self::NoAnswer { .. } | Self::Conflict(_) => {
                let seconds = HeaderValue::from(RETRY_AFTER.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            Self::Refused(_) | Self::NoSuchGame | Self::Statement(_) => {}
        }
        response
    }
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_string(body).expect("our own types have string keys only");
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// Tells whether the statement lost against another transaction and was rolled back.
fn is_conflict(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
}

/// Tells whether the server refused the statement itself, so that it is known to have done
/// nothing. After a lost connection (08), a shutdown (57) or DSQL's `XX000 server unavailable`
/// nobody knows.
fn is_answer(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| {
        let state = state.code();
        !["08", "57", "XX"]
            .iter()
            .any(|class| state.starts_with(class))
    })
}

/// What is kept of the function's time for sending the answer.
const MARGIN: Duration = Duration::from_millis(300);

/// How long an answer may take where no Lambda deadline is known.
const WITHOUT_CONTEXT: Duration = Duration::from_secs(10);

/// Few: the caller waits, and can ask again.
const RETRIES: RetryPolicy = RetryPolicy::new().attempts(4);

const RETRY_AFTER: Duration = Duration::from_secs(5);
