//! Responds to a request: runs its route on a pooled connection, and returns JSON.

use std::env;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dsql_conn::{Connection, Error, Pool, RetryPolicy, retry};
use lambda_http::http::{HeaderName, HeaderValue, StatusCode, header};
use lambda_http::request::RequestContext;
use lambda_http::{Body, Request, RequestExt, Response};
use serde::Serialize;
use tokio::time::timeout;

use crate::etag;
use crate::game::{Game, NewGame};
use crate::log::{self, Answered};
use crate::page::Page;
use crate::problem::Failure;
use crate::route::Route;
use crate::store::{self, Changed, Once};
use crate::title::Title;

/// Responds to one event. Any failure becomes a response without internals, and a log line with
/// them.
pub async fn answer(request: &Request, pool: &Pool) -> Response<Body> {
    let start = Instant::now();
    let request_id = request_id(request);
    let attempts = AtomicU32::new(0);
    let (route, answer) = match Route::of(request) {
        Ok(route) => {
            let work = Work {
                request,
                route: &route,
                pool,
                deadline: deadline(request),
                attempts: &attempts,
                outcome_unknown: &AtomicBool::new(false),
            };
            (Some(route.name()), work.carry_out().await)
        }
        Err(refusal) => (None, Err(refusal.into())),
    };
    let response = answer.unwrap_or_else(|failure| failure.into_response(&request_id));
    let stats = pool.stats();
    log::answered(&Answered {
        request_id: &request_id,
        trace: request
            .lambda_context_ref()
            .and_then(|context| context.xray_trace_id.as_deref()),
        route,
        status: response.status().as_u16(),
        duration: start.elapsed(),
        attempts: attempts.into_inner(),
        failovers: stats.failovers,
        returns_home: stats.returns_home,
    });
    response
}

/// Returns the gateway's request ID, which the client and the access log see as well. Lambda's own
/// ID serves for a request without a gateway.
fn request_id(request: &Request) -> String {
    let of_gateway = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV1(context)) => context.request_id.clone(),
        Some(RequestContext::ApiGatewayV2(context)) => context.request_id.clone(),
        _ => None,
    };
    let of_lambda = || Some(request.lambda_context_ref()?.request_id.clone());
    of_gateway.or_else(of_lambda).unwrap_or_default()
}

/// Returns the deadline of the response. It is short, because the cause of an outage is known
/// within a second and every waiting request occupies an environment; it is never later than the
/// end of the invocation.
fn deadline(request: &Request) -> SystemTime {
    let now = SystemTime::now();
    let soon = now + answer_within();
    let ends = request
        .lambda_context_ref()
        .map(|context| context.deadline());
    match ends {
        // A deadline in the past is ignored: `cargo lambda watch` sends a time of 1970.
        Some(ends) if ends > now => soon.min(ends - MARGIN),
        _ => soon,
    }
}

/// Returns the setting `GAME_ANSWER_WITHIN_MILLIS`.
fn answer_within() -> Duration {
    let millis = env::var("GAME_ANSWER_WITHIN_MILLIS").ok();
    let millis = millis.and_then(|millis| millis.parse().ok());
    millis.map_or(ANSWER_WITHIN, Duration::from_millis)
}

/// A request in progress.
struct Work<'a> {
    request: &'a Request,
    route: &'a Route,
    pool: &'a Pool,
    deadline: SystemTime,
    attempts: &'a AtomicU32,
    /// Whether an earlier attempt may have been applied.
    outcome_unknown: &'a AtomicBool,
}

impl Work<'_> {
    /// Runs the route, and retries where that is safe and time is left.
    ///
    /// A conflict was rolled back, so a retry saves nothing twice. The usual cause is a migration
    /// since this session's last statement, which the next statement already sees. After an unknown
    /// outcome, only idempotent routes are retried.
    async fn carry_out(&self) -> Result<Response<Body>, Failure> {
        if let Route::Generate { title, key: None } = self.route {
            return self.create(title.clone()).await;
        }
        let policy = match self.route.is_idempotent() {
            true => RETRIES.idempotent(),
            false => RETRIES,
        };
        retry(policy.timeout(left(self.deadline)), || self.attempt()).await
    }

    /// Saves a game for which the client chose no key. If the reply to `COMMIT` is lost, the
    /// outcome table tells whether the game was saved.
    async fn create(&self, title: Option<Title>) -> Result<Response<Body>, Failure> {
        let game = NewGame::random(title, &mut rand::rng());
        let policy = RETRIES
            .timeout(left(self.deadline))
            .outcomes(store::OUTCOMES);
        let saved = self.pool.transaction_with(policy, async |tx| {
            self.attempts.fetch_add(1, Ordering::Relaxed);
            store::insert(&tx, &game).await
        });
        match saved.await {
            Ok(game) => Ok(self.created(&game)),
            Err(error) => Err(Failure::of_transaction(error)),
        }
    }

    /// Checks out a connection and runs the route on it, both until the deadline. Each attempt
    /// checks out a connection, which replaces a lost one.
    async fn attempt(&self) -> Result<Response<Body>, Failure> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let connection = self.pool.get_until(self.deadline).await;
        let connection = connection.map_err(Failure::Unreachable)?;
        let failure = match timeout(left(self.deadline), self.run(&connection)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => Failure::of_statement(error, self.route),
            Err(_) => Failure::no_answer(self.route, None),
        };
        if failure.is_unknown_outcome() {
            self.outcome_unknown.store(true, Ordering::Relaxed);
        }
        Err(failure)
    }

    /// Fails with the database's error. The inner result is the route's own.
    async fn run(&self, connection: &Connection) -> Result<Result<Response<Body>, Failure>, Error> {
        Ok(match self.route {
            Route::Generate { title, key } => {
                let game = NewGame::random(title.clone(), &mut rand::rng());
                let Some(key) = key else {
                    let game = store::insert(connection, &game).await?;
                    return Ok(Ok(self.created(&game)));
                };
                match store::insert_once(connection, &game, key, title.as_ref()).await? {
                    Once::Saved(game) => Ok(self.created(&game)),
                    Once::Found(game) => Ok(replayed(self.created(&game))),
                    Once::Taken => Err(Failure::KeyTaken),
                }
            }
            Route::Find { id } => match store::find(connection, *id).await? {
                Some(game) => {
                    Ok(self.revalidated(json(StatusCode::OK, &game), etag::of_game(&game)))
                }
                None => Err(Failure::NoSuchGame),
            },
            Route::Newest { limit, after } => {
                let games = store::newest(connection, *limit, *after).await?;
                Ok(self.page(&Page::of(games, *limit), *limit))
            }
            Route::Replace {
                id,
                condition,
                update,
            } => match store::replace(connection, *id, *condition, update).await? {
                Changed::Done(game) => {
                    let answer = json(StatusCode::OK, &game);
                    Ok(with(answer, header::ETAG, etag::of_game(&game)))
                }
                Changed::Missing => Err(Failure::NoSuchGame),
                Changed::OtherVersion => Err(Failure::VersionChanged),
            },
            Route::Delete { id, condition } => {
                match store::delete(connection, *id, *condition).await? {
                    Changed::Done(()) => Ok(deleted()),
                    // An earlier attempt deleted it, and its response was lost.
                    Changed::Missing if self.outcome_unknown.load(Ordering::Relaxed) => {
                        Ok(deleted())
                    }
                    Changed::Missing => Err(Failure::NoSuchGame),
                    Changed::OtherVersion => Err(Failure::VersionChanged),
                }
            }
        })
    }

    fn created(&self, game: &Game) -> Response<Body> {
        let path = match self.request.request_context_ref() {
            // With the stage, as the client sees it.
            Some(RequestContext::ApiGatewayV1(context)) => context.path.as_deref(),
            _ => None,
        };
        let path = path.unwrap_or_else(|| self.request.raw_http_path());
        let location = format!("{}/{}", path.trim_end_matches('/'), game.id);
        let mut answer = json(StatusCode::CREATED, game);
        if let Ok(location) = HeaderValue::try_from(location) {
            answer = with(answer, header::LOCATION, location);
        }
        with(answer, header::ETAG, etag::of_game(game))
    }

    fn page(&self, page: &Page, limit: u8) -> Response<Body> {
        let answer = json(StatusCode::OK, page);
        let tag = match answer.body() {
            Body::Text(document) => etag::of_document(document),
            _ => unreachable!("it is JSON"),
        };
        let mut answer = self.revalidated(answer, tag);
        if let Some(cursor) = &page.cursor {
            // Relative, so that it holds with and without a stage in the path.
            let link = format!("<?limit={limit}&cursor={cursor}>; rel=\"next\"");
            let link = HeaderValue::try_from(link).expect("digits and ASCII");
            answer = with(answer, header::LINK, link);
        }
        answer
    }

    /// Tags an answer to a GET. Becomes 304 without a body if the client has it already.
    fn revalidated(&self, mut answer: Response<Body>, tag: HeaderValue) -> Response<Body> {
        if etag::is_known(self.request, &tag) {
            answer = Response::new(Body::Empty);
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
        }
        // Only the client's own cache may keep it, and must revalidate it.
        let cached = HeaderValue::from_static("private, no-cache");
        with(
            with(answer, header::ETAG, tag),
            header::CACHE_CONTROL,
            cached,
        )
    }
}

/// Returns the time that is left. Zero after a clock jump: the statement in flight then fails
/// instead of hanging.
fn left(deadline: SystemTime) -> Duration {
    let left = deadline.duration_since(SystemTime::now());
    left.unwrap_or_default()
}

/// Tells the client that the game existed: from an earlier request, or from an earlier attempt
/// whose response was lost.
fn replayed(response: Response<Body>) -> Response<Body> {
    with(
        response,
        IDEMPOTENCY_REPLAYED,
        HeaderValue::from_static("true"),
    )
}

fn deleted() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let body = serde_json::to_string(body).expect("our own types have string keys only");
    let mut response = Response::new(Body::Text(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("application/json");
    let response = with(response, header::CONTENT_TYPE, content_type);
    with(
        response,
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    )
}

fn with(mut response: Response<Body>, name: HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}

/// The part of the function's time that sending the response needs.
const MARGIN: Duration = Duration::from_millis(300);

/// The limit for a response, unless `GAME_ANSWER_WITHIN_MILLIS` is set. A new connection takes some
/// 100 ms, a conflict as long again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Few: the caller waits, and can repeat the request.
const RETRIES: RetryPolicy = RetryPolicy::new().max_attempts(4);

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
