//! What a request asks for: method, path, query and body become a [`Route`] or a [`Refusal`].
//!
//! Pure, so that every wrong request is refused before a connection is taken from the pool.

use lambda_http::aws_lambda_events::query_map::QueryMap;
use lambda_http::http::Method;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Request, RequestExt};
use serde::Deserialize;
use uuid::Uuid;

use crate::game::Title;
use crate::idempotency::IdempotencyKey;

/// A well-formed request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// `POST /games`: make up a game and save it.
    Generate {
        /// From the body, if it names one.
        title: Option<Title>,
        /// From the header, if there is one.
        key: Option<IdempotencyKey>,
    },
    /// `GET /games/{id}`
    Find {
        /// From the path.
        id: Uuid,
    },
    /// `GET /games?limit=`
    Newest {
        /// 1 to 100.
        limit: u8,
    },
}

impl Route {
    /// Reads an event of an API Gateway, of a REST API as well as of an HTTP API.
    ///
    /// # Errors
    ///
    /// The refusal that the client is to be told.
    pub fn of(request: &Request) -> Result<Self, Refusal> {
        let segments: Vec<&str> = path(request).trim_matches('/').split('/').collect();
        match (segments.as_slice(), request.method()) {
            (["games"], &Method::GET) => Ok(Self::Newest {
                limit: limit(request.query_string_parameters_ref())?,
            }),
            (["games"], &Method::POST) => Ok(Self::Generate {
                title: title(request.body())?,
                key: IdempotencyKey::of(request)
                    .map_err(|error| Refusal::bad(error.to_string()))?,
            }),
            (["games"], _) => Err(Refusal::MethodNotAllowed { allow: "GET, POST" }),
            (["games", id], &Method::GET) => Ok(Self::Find {
                id: id
                    .parse()
                    .map_err(|_| Refusal::bad("the id of a game is a UUID"))?,
            }),
            (["games", _], _) => Err(Refusal::MethodNotAllowed { allow: "GET" }),
            _ => Err(Refusal::NotFound),
        }
    }

    /// Returns whether a second run changes nothing if the first one was applied.
    pub fn is_idempotent(&self) -> bool {
        !matches!(self, Self::Generate { key: None, .. })
    }
}

/// Leaves a REST API's event with its `multiValueHeaders` only. To those lambda_http adds the
/// `headers`, where each one's last value replaces all of them: a header that was sent twice
/// would look as if it had been sent once.
pub fn with_repeated_headers(mut event: LambdaRequest) -> LambdaRequest {
    if let LambdaRequest::ApiGatewayV1(request) = &mut event
        && !request.multi_value_headers.is_empty()
    {
        request.headers.clear();
    }
    event
}

/// Why a request is not carried out; the texts are for the client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Answered with 400.
    #[error("{0}")]
    BadRequest(String),
    /// Answered with 404.
    #[error("there is nothing at this path")]
    NotFound,
    /// Answered with 405.
    #[error("this path takes {allow} only")]
    MethodNotAllowed {
        /// The value of the `Allow` header.
        allow: &'static str,
    },
}

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self::BadRequest(message.into())
    }
}

/// Returns the path without the stage.
fn path(request: &Request) -> &str {
    let path = request.raw_http_path();
    // An HTTP API puts the name of its stage before the path, a REST API does not.
    let stage = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    stage
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

fn limit(query: Option<&QueryMap>) -> Result<u8, Refusal> {
    let Some(limit) = query.and_then(|query| query.first("limit")) else {
        return Ok(20);
    };
    match limit.parse() {
        Ok(limit @ 1..=100) => Ok(limit),
        _ => Err(Refusal::bad("limit is a number from 1 to 100")),
    }
}

fn title(body: &[u8]) -> Result<Option<Title>, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        title: Option<Title>,
    }

    if body.is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Body>(body) {
        Ok(body) => Ok(body.title),
        Err(error) => Err(Refusal::bad(format!(
            "the body is not of the form {{\"title\": \"..\"}}: {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::encodings::Body;
    use lambda_http::{http, request};
    use serde_json::json;

    use super::*;

    #[test]
    fn well_formed_requests_find_their_route() {
        let id = Uuid::from_u128(7);
        let newest = |limit| Route::Newest { limit };
        let generate = |title| Route::Generate { title, key: None };
        let chess = "Chess".parse().ok();
        for (method, path, body, route) in [
            ("POST", "/games", "", generate(None)),
            ("POST", "/games", "{}", generate(None)),
            ("POST", "/games/", r#"{"title":null}"#, generate(None)),
            ("POST", "/games", r#"{"title":" Chess"}"#, generate(chess)),
            ("GET", &format!("/games/{id}"), "", Route::Find { id }),
            ("GET", "/games", "", newest(20)),
            ("GET", "/games?limit=1", "", newest(1)),
            ("GET", "/games?limit=100", "", newest(100)),
        ] {
            assert_eq!(
                Route::of(&event(method, path, body)),
                Ok(route),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn wrong_requests_are_refused() {
        for (method, path, body, status) in [
            ("GET", "/", "", 404),
            ("GET", "/game", "", 404),
            ("GET", "/games/a/b", "", 404),
            ("DELETE", "/games", "", 405),
            ("PUT", "/games/1", "", 405),
            ("GET", "/games/1", "", 400),
            ("GET", "/games?limit=0", "", 400),
            ("GET", "/games?limit=101", "", 400),
            ("GET", "/games?limit=-1", "", 400),
            ("GET", "/games?limit=", "", 400),
            ("GET", "/games?limit=ten", "", 400),
            ("POST", "/games", "{", 400),
            ("POST", "/games", "[]", 400),
            ("POST", "/games", r#"{"title":7}"#, 400),
            ("POST", "/games", r#"{"title":""}"#, 400),
            ("POST", "/games", r#"{"titel":"Chess"}"#, 400),
        ] {
            let refusal = Route::of(&event(method, path, body)).unwrap_err();
            let expected = match refusal {
                Refusal::BadRequest(_) => 400,
                Refusal::NotFound => 404,
                Refusal::MethodNotAllowed { .. } => 405,
            };
            assert_eq!(expected, status, "{method} {path} {body}: {refusal}");
        }
    }

    #[test]
    fn refused_title_says_why() {
        let refusal = Route::of(&event("POST", "/games", r#"{"title":" "}"#)).unwrap_err();
        assert!(
            refusal.to_string().contains("the title is empty"),
            "{refusal}"
        );
    }

    #[test]
    fn http_api_finds_the_same_routes_behind_its_stage() {
        for (stage, raw_path) in [("$default", "/games"), ("prod", "/prod/games")] {
            let event = json!({
                "version": "2.0",
                "routeKey": "GET /games",
                "rawPath": raw_path,
                "rawQueryString": "limit=3",
                "headers": {},
                "isBase64Encoded": false,
                "requestContext": {
                    "stage": stage,
                    "timeEpoch": 0,
                    "http": { "method": "GET", "path": raw_path },
                },
            });
            let request = request::from_str(&event.to_string()).unwrap();
            assert_eq!(
                Route::of(&request),
                Ok(Route::Newest { limit: 3 }),
                "{stage}"
            );
        }
    }

    #[test]
    fn base64_body_of_a_rest_api_is_decoded() {
        let event = json!({
            "resource": "/games",
            "path": "/games",
            "httpMethod": "POST",
            "headers": {},
            "multiValueHeaders": {},
            "requestContext": { "stage": "prod", "httpMethod": "POST" },
            "body": "eyJ0aXRsZSI6IkdvIn0=",
            "isBase64Encoded": true,
        });
        let request = request::from_str(&event.to_string()).unwrap();
        let title = "Go".parse().ok();
        assert_eq!(
            Route::of(&request),
            Ok(Route::Generate { title, key: None })
        );
    }

    fn event(method: &str, target: &str, body: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        http::Request::builder()
            .method(method)
            .body(match body {
                "" => Body::Empty,
                body => Body::from(body),
            })
            .unwrap()
            .with_raw_http_path(path)
            .with_query_string_parameters(query.parse::<QueryMap>().unwrap())
    }
}
