//! Parses a request: method, path, query, headers and body become a [`Route`] or a [`Refusal`].
//!
//! No I/O: a wrong request is refused before a connection is checked out.

mod body;
mod headers;
mod query;
mod refusal;

use lambda_http::http::Method;
use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use serde::Deserialize;
use uuid::Uuid;

pub use self::headers::with_repeated_headers;
use self::query::expect_parameters;
pub use self::refusal::Refusal;

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
            (["games"], &Method::GET) => {
                let (limit, after) = query::page(request)?;
                Ok(Self::Newest { limit, after })
            }
            (["games"], &Method::POST) => {
                #[derive(Deserialize, Default)]
                #[serde(deny_unknown_fields)]
                struct Body {
                    title: Option<Title>,
                }

                expect_parameters(request, &[])?;
                let Body { title } = body::read(request)?.unwrap_or_default();
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
                let update = body::read(request)?;
                let update = update.ok_or_else(|| Refusal::bad("the body is missing"))?;
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
    use lambda_http::http::header::CONTENT_TYPE;
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
