//! Answers a request: its route, carried out on a pooled connection, as a JSON response.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::{Duration, SystemTime};

use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Connection, Error, Pool, Reason, RetryPolicy, retry};
use lambda_http::http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::{Body, Request, RequestExt, Response};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout;

use crate::game::NewGame;
use crate::log;
use crate::route::{Refusal, Route};
use crate::store::{self, Once};

/// Answers one event. Whatever goes wrong becomes a response that hides the internals, and a
/// line in the log that tells them.
pub async fn answer(request: &Request, pool: &Pool) -> Response<Body> {
    let (request_id, deadline) = match request.lambda_context_ref() {
        Some(context) => (context.request_id.as_str(), Some(context.deadline())),
        None => ("", None),
    };
    // One that has passed before the work began is none: `cargo lambda watch` sends a time of 1970.
    let now = SystemTime::now();
    let deadline = deadline
        .filter(|deadline| *deadline > now)
        .unwrap_or(now + WITHOUT_DEADLINE);
    let answer = match Route::of(request) {
        Ok(route) => carry_out(&route, pool, deadline - MARGIN).await,
        Err(refusal) => Err(refusal.into()),
    };
    answer.unwrap_or_else(|failure| failure.into_response(request_id))
}

/// Carries the route out, and again where that is safe and there is time for it.
///
/// A conflict was rolled back, so nothing is saved twice; the usual cause is a migration since the
/// last statement of this session, which the next statement already knows. After an unknown
/// outcome only what is idempotent is run again.
async fn carry_out(
    route: &Route,
    pool: &Pool,
    deadline: SystemTime,
) -> Result<Response<Body>, Failure> {
    let policy = match route.is_idempotent() {
        true => RETRIES.idempotent(),
        false => RETRIES,
    };
    retry(policy.deadline(left(deadline)), || {
        attempt(route, pool, deadline)
    })
    .await
}

/// Checks out a connection and runs the route on it, both until the deadline. Another attempt
/// checks out another connection where this one was lost.
async fn attempt(
    route: &Route,
    pool: &Pool,
    deadline: SystemTime,
) -> Result<Response<Body>, Failure> {
    let connection = pool.get_by(deadline).await.map_err(Failure::Unreachable)?;
    match timeout(left(deadline), run(route, &connection)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(Failure::of_statement(error, route)),
        Err(_) => Err(Failure::no_answer(route, None)),
    }
}

/// Fails by what the database said; what it left unsaid is within.
async fn run(
    route: &Route,
    connection: &Connection,
) -> Result<Result<Response<Body>, Failure>, Error> {
    Ok(match route {
        Route::Generate { title, key } => {
            let game = NewGame::random(title.clone(), &mut rand::rng());
            let Some(key) = key else {
                let game = store::insert(connection, &game).await?;
                return Ok(Ok(json(StatusCode::CREATED, &game)));
            };
            match store::insert_once(connection, &game, key, title.as_ref()).await? {
                Once::Saved(game) => Ok(json(StatusCode::CREATED, &game)),
                Once::Found(game) => Ok(replayed(json(StatusCode::CREATED, &game))),
                Once::Taken => Err(Failure::KeyTaken),
            }
        }
        Route::Find { id } => match store::find(connection, *id).await? {
            Some(game) => Ok(json(StatusCode::OK, &game)),
            None => Err(Failure::NoSuchGame),
        },
        Route::Newest { limit } => {
            let games = store::newest(connection, *limit).await?;
            Ok(json(StatusCode::OK, &BTreeMap::from([("games", games)])))
        }
    })
}

/// Returns what is left of the time: nothing behind a clock that jumped, and then what is under
/// way fails instead of hanging.
fn left(deadline: SystemTime) -> Duration {
    let left = deadline.duration_since(SystemTime::now());
    left.unwrap_or_default()
}

/// Why there is no good answer. The texts are for the client; the causes are for the log.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("there is no game of this id")]
    NoSuchGame,
    /// What the draft asks for is 422, where a request is not the one that the key was used for.
    #[error("this Idempotency-Key belongs to a game of another title: choose another key")]
    KeyTaken,
    /// No source, in which `retry` would take a failed login for a statement's failure: the pool has
    /// tried for as long as that makes sense.
    #[error("database unavailable")]
    Unreachable(Error),
    /// The connection was lost, or the time was up, with the statement under way.
    #[error("database unavailable")]
    NoAnswer {
        /// It may have been saved, or not.
        saving: bool,
        /// Who asks again does no harm.
        idempotent: bool,
        #[source]
        cause: Option<Error>,
    },
    /// Rolled back every time it was tried.
    #[error("database busy")]
    Conflict(#[source] Error),
    #[error("internal error")]
    Statement(#[source] Error),
}

impl Failure {
    fn of_statement(error: Error, route: &Route) -> Self {
        if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) {
            return Self::Conflict(error);
        }
        match error.may_have_applied() {
            true => Self::no_answer(route, Some(error)),
            false => Self::Statement(error),
        }
    }

    fn no_answer(route: &Route, cause: Option<Error>) -> Self {
        Self::NoAnswer {
            saving: matches!(route, Route::Generate { .. }),
            idempotent: route.is_idempotent(),
            cause,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Refused(Refusal::BadRequest(_)) => StatusCode::BAD_REQUEST,
            Self::Refused(Refusal::MethodNotAllowed { .. }) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused(Refusal::NotFound) | Self::NoSuchGame => StatusCode::NOT_FOUND,
            Self::KeyTaken => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Unreachable(error) if is_throttled(error) => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable(_) | Self::NoAnswer { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Statement(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns a word that stays the same from release to release, for clients and alarms.
    fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(error) => Some(match (error.reason(), error) {
                (Some(reason), _) => reason.as_str(),
                (None, Error::PoolClosed) => "shutting_down",
                (None, Error::CheckoutTimeout { .. }) => "timeout",
                (None, _) => "unavailable",
            }),
            Self::NoAnswer { saving: true, .. } => Some("outcome_unknown"),
            Self::NoAnswer { saving: false, .. } => Some("no_answer"),
            Self::Conflict(_) => Some("conflict"),
            Self::KeyTaken => Some("idempotency_key_taken"),
            Self::Refused(_) | Self::NoSuchGame | Self::Statement(_) => None,
        }
    }

    fn into_response(self, request_id: &str) -> Response<Body> {
        let (status, reason) = (self.status(), self.reason());
        if status.is_server_error() || matches!(self, Self::Unreachable(_) | Self::Conflict(_)) {
            let cause = match &self {
                Self::Unreachable(error) => error,
                failure => failure.source().unwrap_or(failure),
            };
            log::failure("request failed", reason, cause);
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
            Self::NoAnswer {
                idempotent: false, ..
            } => {}
            Self::Unreachable(_) | Self::NoAnswer { .. } | Self::Conflict(_) => {
                let seconds = HeaderValue::from(RETRY_AFTER.as_secs());
                response.headers_mut().insert(header::RETRY_AFTER, seconds);
            }
            Self::Refused(_) | Self::NoSuchGame | Self::KeyTaken | Self::Statement(_) => {}
        }
        response
    }
}

/// Tells whether the cluster turns connections away because there are too many of them.
fn is_throttled(error: &Error) -> bool {
    matches!(
        error.reason(),
        Some(Reason::RateExceeded | Reason::TooManyConnections)
    )
}

/// Tells the client that the game was there before: from an earlier request, or from an earlier
/// attempt at this one whose answer was lost.
fn replayed(mut response: Response<Body>) -> Response<Body> {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(IDEMPOTENCY_REPLAYED, yes);
    response
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

/// What is kept of the function's time for sending the answer.
const MARGIN: Duration = Duration::from_millis(300);

/// How long an answer may take where no deadline is known.
const WITHOUT_DEADLINE: Duration = Duration::from_secs(10);

/// Few: the caller waits, and can ask again.
const RETRIES: RetryPolicy = RetryPolicy::new().attempts(4);

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const RETRY_AFTER: Duration = Duration::from_secs(5);
