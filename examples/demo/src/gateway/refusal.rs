//! The gateway's own answers, from the table that the deployed gateway is built from.

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

/// Why a request does not reach the function, or its answer does not reach the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    UnknownPath,
    InvalidKey,
    TooLarge,
    InvalidBody {
        /// The text of `$context.error.validationErrorString`.
        errors: String,
    },
    FunctionFailed,
}

impl Refusal {
    /// Returns API Gateway's name for the response.
    fn kind(&self) -> &'static str {
        match self {
            Self::UnknownPath => "MISSING_AUTHENTICATION_TOKEN",
            Self::InvalidKey => "INVALID_API_KEY",
            Self::TooLarge => "REQUEST_TOO_LARGE",
            Self::InvalidBody { .. } => "BAD_REQUEST_BODY",
            Self::FunctionFailed => "INTEGRATION_FAILURE",
        }
    }

    pub(super) fn into_response(self, request_id: &str) -> Response {
        let answer = answer_of(self.kind());
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = answer.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let detail = match &self {
            Self::InvalidBody { errors } => answer.detail.replace(VALIDATION_ERRORS, errors),
            _ => answer.detail.clone(),
        };
        let body = json!({
            "type": "about:blank",
            "title": answer.title,
            "status": answer.status,
            "detail": detail,
            "request_id": request_id,
        });
        (answer.status(), headers, body.to_string()).into_response()
    }
}

/// A row of `gateway-responses.json`.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GatewayAnswer {
    #[serde(rename = "type")]
    kind: String,
    pub(super) status: u16,
    pub(super) title: String,
    pub(super) detail: String,
    retry_after: Option<u64>,
}

impl GatewayAnswer {
    pub(super) fn status(&self) -> StatusCode {
        self.status.try_into().expect("the table has HTTP statuses")
    }
}

/// Returns the row of a response type.
pub(super) fn answer_of(kind: &str) -> &'static GatewayAnswer {
    let answer = ANSWERS.iter().find(|answer| answer.kind == kind);
    answer.unwrap_or_else(|| panic!("the table has no {kind}"))
}

static ANSWERS: LazyLock<Vec<GatewayAnswer>> = LazyLock::new(|| {
    let table = include_str!("../../../generate-game/gateway-responses.json");
    let rows: Vec<Value> = serde_json::from_str(table).expect("the table is JSON");
    // A row without a status, such as DEFAULT_4XX, leaves the answer to API Gateway.
    rows.into_iter()
        .filter(|row| row.get("status").is_some())
        .map(|row| serde_json::from_value(row).expect("the row is complete"))
        .collect()
});

const VALIDATION_ERRORS: &str = "$context.error.validationErrorString";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_in_the_table() {
        for refusal in [
            Refusal::UnknownPath,
            Refusal::InvalidKey,
            Refusal::TooLarge,
            Refusal::InvalidBody {
                errors: "[]".to_owned(),
            },
            Refusal::FunctionFailed,
        ] {
            let status = answer_of(refusal.kind()).status();
            assert_eq!(refusal.into_response("7").status(), status);
        }
    }
}
