//! The events that an API Gateway of kind REST sends to a Lambda, and the answers it expects.

use serde_json::{Value, json};
use uuid::Uuid;

/// Builds the event of a request to `/games` or below it.
pub(crate) fn event(method: &str, target: &str, body: Option<Value>) -> Value {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let parameters: Vec<(&str, &str)> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect();
    let single: Value = parameters
        .iter()
        .map(|(name, value)| (*name, json!(value)))
        .collect();
    let multi: Value = parameters
        .iter()
        .map(|(name, value)| (*name, json!([value])))
        .collect();
    let (resource, path_parameters) = match path.strip_prefix("/games/") {
        Some(id) => ("/games/{id}", json!({ "id": id })),
        None => ("/games", Value::Null),
    };
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": { "content-type": "application/json", "host": HOST, "x-api-key": "demo" },
        "multiValueHeaders": {
            "content-type": ["application/json"], "host": [HOST], "x-api-key": ["demo"],
        },
        "queryStringParameters": if parameters.is_empty() { Value::Null } else { single },
        "multiValueQueryStringParameters": if parameters.is_empty() { Value::Null } else { multi },
        "pathParameters": path_parameters,
        "stageVariables": null,
        "requestContext": {
            "accountId": "111122223333",
            "apiId": "demo",
            "domainName": HOST,
            "httpMethod": method,
            "identity": { "apiKey": "demo", "sourceIp": "127.0.0.1" },
            "path": format!("/prod{path}"),
            "protocol": "HTTP/1.1",
            "requestId": Uuid::new_v4().to_string(),
            "resourcePath": resource,
            "stage": "prod",
        },
        "body": body.map(|body| body.to_string()),
        "isBase64Encoded": false,
    })
}

/// What the API Gateway would send to the client.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) body: Value,
}

impl Answer {
    /// Reads the function's response, which wraps status and body in JSON of its own.
    pub(crate) fn parse(response: &Value) -> Option<Self> {
        let body = response.get("body")?.as_str()?;
        Some(Self {
            status: response.get("statusCode")?.as_u64()?,
            body: serde_json::from_str(body).ok()?,
        })
    }
}

const HOST: &str = "demo.execute-api.us-east-1.amazonaws.com";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_names_resource_and_parameters() {
        let find = event("GET", "/games/7", None);
        assert_eq!(find["resource"], "/games/{id}");
        assert_eq!(find["pathParameters"]["id"], "7");
        assert_eq!(find["queryStringParameters"], Value::Null);
        assert_eq!(find["body"], Value::Null);

        let newest = event("GET", "/games?limit=3", None);
        assert_eq!(newest["path"], "/games");
        assert_eq!(newest["queryStringParameters"], json!({ "limit": "3" }));
        assert_eq!(
            newest["multiValueQueryStringParameters"],
            json!({ "limit": ["3"] })
        );

        let generate = event("POST", "/games", Some(json!({ "title": "Go" })));
        assert_eq!(generate["body"], r#"{"title":"Go"}"#);
    }

    #[test]
    fn answer_is_unwrapped() {
        let response = json!({ "statusCode": 503, "body": r#"{"reason":"x"}"#, "headers": {} });
        let answer = Answer::parse(&response).unwrap();
        assert_eq!((answer.status, &answer.body["reason"]), (503, &json!("x")));
        assert!(Answer::parse(&json!({ "statusCode": 200, "body": "no JSON" })).is_none());
    }
}
