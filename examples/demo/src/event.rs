//! The events that an API Gateway sends to a Lambda for a REST API, and the responses it expects.
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html>

use std::collections::BTreeMap;

use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

/// A resource of the API. Other paths do not reach the function. All methods do: the function
/// answers 405 to those it lacks.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Resource<'a> {
    pub(crate) template: &'static str,
    id: Option<&'a str>,
}

impl<'a> Resource<'a> {
    pub(crate) fn of<B>(request: &'a Request<B>) -> Option<Self> {
        let segments: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        match segments.as_slice() {
            ["games"] => Some(Self {
                template: "/games",
                id: None,
            }),
            ["games", id] if !id.is_empty() => Some(Self {
                template: "/games/{id}",
                id: Some(id),
            }),
            _ => None,
        }
    }
}

/// Builds the event of a request to this resource, as behind a custom domain name: the path has no
/// stage.
pub(crate) fn event(request: &Request<String>, resource: &Resource<'_>, request_id: &str) -> Value {
    let (uri, headers) = (request.uri(), headers(request.headers()));
    let mut query: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        query
            .entry(name.into_owned())
            .or_default()
            .push(value.into_owned());
    }
    json!({
        "resource": resource.template,
        "path": uri.path(),
        "httpMethod": request.method().as_str(),
        "headers": last_of_each(&headers),
        "multiValueHeaders": headers,
        "queryStringParameters": (!query.is_empty()).then(|| last_of_each(&query)),
        "multiValueQueryStringParameters": (!query.is_empty()).then_some(&query),
        "pathParameters": resource.id.map(|id| json!({ "id": id })),
        "stageVariables": { "caller_game": API_KEY_ID },
        "requestContext": {
            "accountId": "111122223333",
            "apiId": "demo",
            "domainName": headers.get("host").and_then(|hosts| hosts.last()),
            "httpMethod": request.method().as_str(),
            "identity": {
                "apiKey": headers.get(API_KEY).and_then(|keys| keys.last()),
                "apiKeyId": headers.contains_key(API_KEY).then_some(API_KEY_ID),
                "sourceIp": "127.0.0.1",
            },
            "path": uri.path(),
            "protocol": "HTTP/1.1",
            "requestId": request_id,
            "resourcePath": resource.template,
            "stage": "prod",
        },
        "body": (!request.body().is_empty()).then_some(request.body()),
        "isBase64Encoded": false,
    })
}

/// Builds the event of a request that the demo makes itself.
pub(crate) fn get(target: &str) -> Value {
    own("GET", target, "")
}

/// Builds the event of a request that the demo makes itself.
pub(crate) fn post(target: &str, body: &str) -> Value {
    own("POST", target, body)
}

/// Builds the event of a request to save a game, which is safe to repeat under its key.
pub(crate) fn post_once(key: &str, body: &str) -> Value {
    made("POST", "/games", body, &[("idempotency-key", key)])
}

fn own(method: &str, target: &str, body: &str) -> Value {
    made(method, target, body, &[])
}

fn made(method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> Value {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("content-type", "application/json")
        .header("host", "demo.execute-api.us-east-1.amazonaws.com")
        .header(API_KEY, "demo");
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(body.to_owned())
        .expect("the requests of the demo are well formed");
    let resource = Resource::of(&request).expect("the demo only uses paths of the API");
    event(&request, &resource, &Uuid::new_v4().to_string())
}

fn headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut named: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        named.entry(name.to_string()).or_default().push(value);
    }
    named
}

fn last_of_each(values: &BTreeMap<String, Vec<String>>) -> Value {
    values
        .iter()
        .map(|(name, values)| (name.clone(), json!(values.last())))
        .collect()
}

/// The response that the API Gateway sends to the client.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// Reads the function's response, which holds status, headers and body as JSON.
    pub(crate) fn parse(response: &Value) -> Option<Self> {
        let status = response.get("statusCode")?.as_u64()?.try_into().ok()?;
        let single = response["headers"].as_object().into_iter().flatten();
        let several = response["multiValueHeaders"].as_object();
        let is_single = |name: &str| several.is_none_or(|several| !several.contains_key(name));
        let single = single.filter(|(name, _)| is_single(name));
        let several = several.into_iter().flatten().flat_map(|(name, values)| {
            values
                .as_array()
                .into_iter()
                .flatten()
                .map(move |v| (name, v))
        });
        let headers = single
            .chain(several)
            .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect::<Option<_>>()?;
        Some(Self {
            status: StatusCode::from_u16(status).ok()?,
            headers,
            // Null if the response has none, as 204.
            body: match response.get("body") {
                None | Some(Value::Null) => String::new(),
                Some(body) => body.as_str()?.to_owned(),
            },
        })
    }

    /// Returns the value of a header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body, or null if it is not JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// The header that holds the client's API key.
pub(crate) const API_KEY: &str = "x-api-key";

/// The key's ID at the gateway, which is not secret.
const API_KEY_ID: &str = "d3m0k3y1d0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_names_resource_and_parameters() {
        let find = get("/games/7");
        assert_eq!(find["resource"], "/games/{id}");
        assert_eq!(find["pathParameters"]["id"], "7");
        assert_eq!(find["queryStringParameters"], Value::Null);
        assert_eq!(find["body"], Value::Null);
        assert_eq!(find["requestContext"]["identity"]["apiKey"], "demo");

        let newest = get("/games?limit=3&limit=%34");
        assert_eq!(newest["path"], "/games");
        assert_eq!(newest["queryStringParameters"], json!({ "limit": "4" }));
        assert_eq!(
            newest["multiValueQueryStringParameters"],
            json!({ "limit": ["3", "4"] })
        );

        let generate = post("/games", r#"{"title":"Go"}"#);
        assert_eq!(generate["body"], r#"{"title":"Go"}"#);
        assert_eq!(generate["headers"]["content-type"], "application/json");

        let once = post_once("7", "");
        assert_eq!(once["multiValueHeaders"]["idempotency-key"], json!(["7"]));
    }

    #[test]
    fn only_the_paths_of_the_api_have_a_resource() {
        for (method, path, template) in [
            ("POST", "/games", Some("/games")),
            ("GET", "/games", Some("/games")),
            ("GET", "/games?limit=1", Some("/games")),
            ("GET", "/games/7", Some("/games/{id}")),
            ("PUT", "/games/7", Some("/games/{id}")),
            ("DELETE", "/games", Some("/games")),
            ("GET", "/", None),
            ("GET", "/games/", None),
            ("GET", "/games/7/8", None),
            ("GET", "/prod/games", None),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(())
                .unwrap();
            let resource = Resource::of(&request).map(|resource| resource.template);
            assert_eq!(resource, template, "{method} {path}");
        }
    }

    #[test]
    fn answer_is_unwrapped() {
        let response = json!({
            "statusCode": 503,
            "headers": { "retry-after": "5", "x": "replaced" },
            "multiValueHeaders": { "x": ["1", "2"] },
            "body": r#"{"reason":"x"}"#,
        });
        let answer = Answer::parse(&response).unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["reason"], "x");
        let headers = [("retry-after", "5"), ("x", "1"), ("x", "2")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(answer.headers, headers);
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.header("allow"), None);

        let empty = json!({ "statusCode": 204, "body": null });
        assert_eq!(Answer::parse(&empty).unwrap().body, "");
        for wrong in [
            json!({}),
            json!({ "statusCode": 20, "body": "" }),
            json!("x"),
        ] {
            assert_eq!(Answer::parse(&wrong), None, "{wrong}");
        }
    }
}
