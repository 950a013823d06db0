//! Parses a request: method, path, query, headers and body become a [`Route`] or a [`Refusal`].
//!
//! Pure functions, so that a wrong request is refused before it checks out a connection.

use lambda_http::http::Method;
use lambda_http::http::header::CONTENT_TYPE;
use lambda_http::request::{LambdaRequest, RequestContext};
use lambda_http::{Request, RequestExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::etag::IfMatch;
use crate::game::GameUpdate;
use crate::idempotency::IdempotencyKey;
use crate::page::Cursor;
use crate::title::Title;

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
    /// `PUT /games/{id}`
    Replace {
        /// From the path.
        id: Uuid,
        /// From the header.
        condition: IfMatch,
        /// From the body.
        update: GameUpdate,
    },
    /// `DELETE /games/{id}`
    Delete {
        /// From the path.
        id: Uuid,
        /// From the header.
        condition: IfMatch,
    },
    /// `GET /games?limit=&cursor=`
    Newest {
        /// 1 to 100.
        limit: u8,
        /// The end of the page before.
        after: Option<Cursor>,
    },
}

impl Route {
    /// Parses an API Gateway event, of a REST API or an HTTP API.
    ///
    /// # Errors
    ///
    /// The refusal to send to the client.
    pub fn of(request: &Request) -> Result<Self, Refusal> {
        let path = path(request);
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (segments.as_slice(), request.method()) {
            (["games"], &Method::GET) => newest(request),
            (["games"], &Method::POST) => {
                #[derive(Deserialize, Default)]
                #[serde(deny_unknown_fields)]
                struct Body {
                    title: Option<Title>,
                }

                expect_parameters(request, &[])?;
                let Body { title } = body(request)?.unwrap_or_default();
                let key = IdempotencyKey::of(request);
                let key = key.map_err(|error| Refusal::bad(error.to_string()))?;
                Ok(Self::Generate { title, key })
            }
            (["games"], _) => Err(Refusal::MethodNotAllowed { allow: "GET, POST" }),
            (["games", id], &Method::GET) => {
                expect_parameters(request, &[])?;
                Ok(Self::Find { id: parse_id(id)? })
            }
            (["games", id], &Method::PUT) => {
                expect_parameters(request, &[])?;
                let id = parse_id(id)?;
                let update = body(request)?.ok_or_else(|| Refusal::bad("the body is missing"))?;
                let condition = condition(request)?;
                Ok(Self::Replace {
                    id,
                    condition,
                    update,
                })
            }
            (["games", id], &Method::DELETE) => {
                expect_parameters(request, &[])?;
                let id = parse_id(id)?;
                let condition = condition(request)?;
                Ok(Self::Delete { id, condition })
            }
            (["games", _], _) => Err(Refusal::MethodNotAllowed {
                allow: "DELETE, GET, PUT",
            }),
            _ => Err(Refusal::NotFound),
        }
    }

    /// Returns whether a second attempt changes nothing if the first was applied.
    pub fn is_idempotent(&self) -> bool {
        !matches!(self, Self::Generate { key: None, .. })
    }

    /// Returns whether the route writes.
    pub fn is_write(&self) -> bool {
        !matches!(self, Self::Find { .. } | Self::Newest { .. })
    }

    /// Returns the name of the operation in the document of the API, for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Generate { .. } => "createGame",
            Self::Find { .. } => "getGame",
            Self::Replace { .. } => "replaceGame",
            Self::Delete { .. } => "deleteGame",
            Self::Newest { .. } => "listGames",
        }
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

/// Why a request is refused. The texts are for the client.
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
    /// Answered with 415.
    #[error("the body must be application/json")]
    UnsupportedMediaType,
    /// Answered with 428.
    #[error("If-Match is missing: send the ETag of the game that you want to change, or *")]
    PreconditionRequired,
}

impl Refusal {
    fn bad(message: impl Into<String>) -> Self {
        Self::BadRequest(message.into())
    }
}

/// Returns the path without the stage.
fn path(request: &Request) -> &str {
    let path = request.raw_http_path();
    // An HTTP API puts its stage before the path, a REST API does not.
    let stage = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.stage.as_deref(),
        _ => None,
    };
    stage
        .and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage))
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path)
}

fn parse_id(id: &str) -> Result<Uuid, Refusal> {
    // The parser also accepts other forms, such as one in braces.
    let parsed = id.parse().ok().filter(|_| id.len() == 36);
    parsed.ok_or_else(|| Refusal::bad("the id of a game is a UUID"))
}

fn newest(request: &Request) -> Result<Route, Refusal> {
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
    let after = after.map_err(|error: crate::page::CursorError| Refusal::bad(error.to_string()))?;
    Ok(Route::Newest { limit, after })
}

/// Refuses unknown and repeated query parameters. Otherwise a typo would be ignored.
fn expect_parameters(request: &Request, known: &[&str]) -> Result<(), Refusal> {
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

/// Reads a body of JSON, if there is one.
fn body<T: DeserializeOwned>(request: &Request) -> Result<Option<T>, Refusal> {
    let body: &[u8] = request.body();
    if body.is_empty() {
        return Ok(None);
    }
    if !is_json(request) {
        return Err(Refusal::UnsupportedMediaType);
    }
    match serde_json::from_slice(body) {
        Ok(body) => Ok(Some(body)),
        Err(error) => Err(Refusal::bad(format!(
            "the body is not what is expected: {error}"
        ))),
    }
}

fn is_json(request: &Request) -> bool {
    let media_type = request.headers().get(CONTENT_TYPE);
    let media_type = media_type.and_then(|value| value.to_str().ok());
    let essence = media_type.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

fn condition(request: &Request) -> Result<IfMatch, Refusal> {
    match IfMatch::of(request) {
        Ok(Some(condition)) => Ok(condition),
        Ok(None) => Err(Refusal::PreconditionRequired),
        Err(error) => Err(Refusal::bad(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use lambda_http::aws_lambda_events::encodings::Body;
    use lambda_http::aws_lambda_events::query_map::QueryMap;
    use lambda_http::{http, request};
    use serde_json::json;

    use super::*;

    #[test]
    fn well_formed_requests_find_their_route() {
        let id = Uuid::from_u128(7);
        let newest = |limit| Route::Newest { limit, after: None };
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
            (
                "GET",
                &format!("/games?limit=7&cursor={}", "0".repeat(48)),
                "",
                Route::Newest {
                    limit: 7,
                    after: "0".repeat(48).parse().ok(),
                },
            ),
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
            ("PATCH", "/games/1", "", 405),
            ("GET", "/games/1", "", 400),
            (
                "GET",
                "/games/{00000000-0000-0000-0000-000000000000}",
                "",
                400,
            ),
            ("PUT", "/games/1", "{}", 400),
            ("PUT", ID, "", 400),
            ("PUT", ID, "{}", 400),
            ("PUT", ID, UPDATE, 428),
            ("DELETE", "/games/1", "", 400),
            ("DELETE", ID, "", 428),
            ("GET", "/games?limit=0", "", 400),
            ("GET", "/games?limit=101", "", 400),
            ("GET", "/games?limit=-1", "", 400),
            ("GET", "/games?limit=", "", 400),
            ("GET", "/games?limit=ten", "", 400),
            ("GET", "/games?limit=%2B7", "", 400),
            ("GET", "/games?limit=7&limit=7", "", 400),
            ("GET", "/games?cursor=", "", 400),
            ("GET", "/games?cursor=7", "", 400),
            ("GET", "/games?offset=7", "", 400),
            (
                "GET",
                "/games/00000000-0000-0000-0000-000000000000?x=1",
                "",
                400,
            ),
            ("POST", "/games?title=Go", "", 400),
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
                Refusal::UnsupportedMediaType => 415,
                Refusal::PreconditionRequired => 428,
            };
            assert_eq!(expected, status, "{method} {path} {body}: {refusal}");
        }
    }

    #[test]
    fn body_of_another_media_type_is_refused() {
        for (media_type, refused) in [
            (Some("application/json"), false),
            (Some("application/json; charset=utf-8"), false),
            (Some("Application/JSON"), false),
            (Some("text/plain"), true),
            (Some("application/x-www-form-urlencoded"), true),
            (Some("application/jsonp"), true),
            (None, true),
        ] {
            let mut request = event("POST", "/games", "{}");
            request.headers_mut().clear();
            if let Some(media_type) = media_type {
                let value = media_type.parse().unwrap();
                request.headers_mut().insert(CONTENT_TYPE, value);
            }
            let refusal = Route::of(&request).err();
            let expected = refused.then_some(Refusal::UnsupportedMediaType);
            assert_eq!(refusal, expected, "{media_type:?}");
        }
    }

    #[test]
    fn conditions_are_read() {
        let id = ID.trim_start_matches("/games/").parse().unwrap();
        for (tag, condition) in [("*", IfMatch::Any), ("\"7\"", IfMatch::Version(7))] {
            let mut delete = event("DELETE", ID, "");
            delete
                .headers_mut()
                .insert("if-match", tag.parse().unwrap());
            assert_eq!(Route::of(&delete), Ok(Route::Delete { id, condition }));
            let mut put = event("PUT", ID, UPDATE);
            put.headers_mut().insert("if-match", tag.parse().unwrap());
            let update = serde_json::from_str(UPDATE).unwrap();
            let replace = Route::Replace {
                id,
                condition,
                update,
            };
            assert_eq!(Route::of(&put), Ok(replace));
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
                Ok(Route::Newest {
                    limit: 3,
                    after: None,
                }),
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
            "headers": { "content-type": "application/json" },
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
            .header(CONTENT_TYPE, "application/json")
            .body(match body {
                "" => Body::Empty,
                body => Body::from(body),
            })
            .unwrap()
            .with_raw_http_path(path)
            .with_query_string_parameters(query.parse::<QueryMap>().unwrap())
    }

    const ID: &str = "/games/00000000-0000-0000-0000-000000000007";

    const UPDATE: &str = r#"{"title":"Go","genre":"board","players":2,"minutes":60}"#;
}
