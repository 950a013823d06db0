//! The body of a request.

use lambda_http::Request;
use lambda_http::http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;

use super::Refusal;

/// Reads a JSON body. An empty body is `None`, whatever its media type.
pub(super) fn read<T: DeserializeOwned>(request: &Request) -> Result<Option<T>, Refusal> {
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

#[cfg(test)]
mod tests {
    use lambda_http::{Body, request};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn body_of_another_media_type_is_refused() {
        for (media_type, accepted) in [
            (Some("application/json"), true),
            (Some("application/json; charset=utf-8"), true),
            (Some("Application/JSON"), true),
            (Some("text/plain"), false),
            (Some("application/x-www-form-urlencoded"), false),
            (Some("application/jsonp"), false),
            (None, false),
        ] {
            let mut request = Request::new(Body::from("{}"));
            if let Some(media_type) = media_type {
                let value = media_type.parse().unwrap();
                request.headers_mut().insert(CONTENT_TYPE, value);
            }
            let expected = match accepted {
                true => Ok(Some(json!({}))),
                false => Err(Refusal::UnsupportedMediaType),
            };
            assert_eq!(read::<Value>(&request), expected, "{media_type:?}");
        }
    }

    #[test]
    fn empty_body_needs_no_media_type() {
        assert_eq!(read::<Value>(&Request::new(Body::Empty)), Ok(None));
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
        assert_eq!(read::<Value>(&request), Ok(Some(json!({ "title": "Go" }))));
    }
}
