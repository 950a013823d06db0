//! A minimal API Gateway: checks the API key, and turns HTTP requests into events for the function.

use std::io;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::event::{API_KEY, Answer, Resource, event};

/// An event for the function, and the channel for its response.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) event: Value,
    /// Dropped without a response if the function failed.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Serves the API to clients with this key, until its future is dropped. Events are sent in the
/// order of the requests.
pub(crate) async fn serve(
    listener: TcpListener,
    key: String,
    invocations: mpsc::UnboundedSender<Invocation>,
) -> io::Result<()> {
    let gateway = Arc::new(Gateway { key, invocations });
    let routes = Router::new().fallback(answer).with_state(gateway);
    axum::serve(listener, routes).await
}

#[derive(Debug)]
struct Gateway {
    key: String,
    invocations: mpsc::UnboundedSender<Invocation>,
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let request_id = Uuid::new_v4().to_string();
    let answer = gateway.forward(request, &request_id).await;
    let response = answer.and_then(response);
    let response = response.unwrap_or_else(|refusal| refusal.into_response(&request_id));
    eprintln!("demo: {line} {}", response.status().as_u16());
    response
}

impl Gateway {
    async fn forward(&self, request: Request, request_id: &str) -> Result<Answer, Refusal> {
        // Before the key: unknown paths need no key.
        Resource::of(&request).ok_or(UNKNOWN_PATH)?;
        if !is_allowed(request.headers(), &self.key) {
            return Err(INVALID_KEY);
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, LONGEST_BODY).await;
        let body = body.map_err(|_| TOO_LARGE)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let request = Request::from_parts(head, body);
        let resource = Resource::of(&request).ok_or(UNKNOWN_PATH)?;
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            event: event(&request, &resource, request_id),
            answer,
        };
        let sent = self.invocations.send(invocation);
        sent.map_err(|_| FUNCTION_FAILED)?;
        answered.await.map_err(|_| FUNCTION_FAILED)
    }
}

fn is_allowed(headers: &HeaderMap, key: &str) -> bool {
    let mut keys = headers.get_all(API_KEY).iter();
    matches!((keys.next(), keys.next()), (Some(only), None) if only.as_bytes() == key.as_bytes())
}

/// Why a request does not reach the function, by API Gateway's own name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Refusal(&'static str);

impl Refusal {
    /// Returns the gateway's response for it.
    fn into_response(self, request_id: &str) -> Response {
        let Self(kind) = self;
        let answer = ANSWERS
            .iter()
            .find(|answer| answer.kind == kind)
            .expect("a test looks all of them up");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = answer.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let body = json!({
            "type": "about:blank",
            "title": answer.title,
            "status": answer.status,
            "detail": answer.detail,
            "request_id": request_id,
        });
        (answer.status(), headers, body.to_string()).into_response()
    }
}

const UNKNOWN_PATH: Refusal = Refusal("MISSING_AUTHENTICATION_TOKEN");
const INVALID_KEY: Refusal = Refusal("INVALID_API_KEY");
const TOO_LARGE: Refusal = Refusal("REQUEST_TOO_LARGE");
const FUNCTION_FAILED: Refusal = Refusal("INTEGRATION_FAILURE");

/// A gateway response. The deployed gateway is made from the same file.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayAnswer {
    #[serde(rename = "type")]
    kind: String,
    status: Option<u16>,
    title: Option<String>,
    detail: Option<String>,
    retry_after: Option<u64>,
}

impl GatewayAnswer {
    fn status(&self) -> StatusCode {
        let status = self.status.and_then(|status| status.try_into().ok());
        status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

static ANSWERS: LazyLock<Vec<GatewayAnswer>> = LazyLock::new(|| {
    let table = include_str!("../../generate-game/gateway-responses.json");
    serde_json::from_str(table).expect("the table is well formed")
});

/// Turns the function's response into an HTTP response.
fn response(answer: Answer) -> Result<Response, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
        else {
            return Err(FUNCTION_FAILED);
        };
        headers.append(name, value);
    }
    let mut response = Response::new(answer.body.into());
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// API Gateway's limit for a body.
const LONGEST_BODY: usize = 10 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn exactly_the_key_is_allowed() {
        for (keys, allowed) in [
            (&["secret"][..], true),
            (&[], false),
            (&[""], false),
            (&["secret "], false),
            (&["Secret"], false),
            (&["secret", "secret"], false),
        ] {
            let keys = keys.iter().map(|key| {
                (
                    HeaderName::from_static(API_KEY),
                    HeaderValue::from_static(key),
                )
            });
            let mut headers = HeaderMap::new();
            headers.extend(keys);
            assert_eq!(is_allowed(&headers, "secret"), allowed, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn requests_without_key_or_path_do_not_reach_the_function() {
        let (address, mut invocations) = started().await;
        for (request, status) in [
            ("POST /games HTTP/1.1", 403),
            ("GET /games HTTP/1.1\r\nx-api-key: wrong", 403),
            ("GET /game HTTP/1.1\r\nx-api-key: secret", 404),
            ("GET / HTTP/1.1", 404),
        ] {
            let response = exchange(address, request, "").await;
            let line = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&line), "{response}");
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            let content_type = "content-type: application/problem+json";
            assert!(head.contains(content_type), "{response}");
            let problem: Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["status"], status);
            assert!(problem["detail"].is_string(), "{response}");
            assert!(problem["request_id"].is_string(), "{response}");
        }
        assert!(invocations.try_recv().is_err());
    }

    #[test]
    fn every_refusal_is_in_the_table() {
        for refusal in [UNKNOWN_PATH, INVALID_KEY, TOO_LARGE, FUNCTION_FAILED] {
            let answer = ANSWERS.iter().find(|answer| answer.kind == refusal.0);
            let answer = answer.unwrap_or_else(|| panic!("{refusal:?} is not"));
            assert_eq!(refusal.into_response("7").status(), answer.status());
            assert!(answer.detail.is_some() && answer.title.is_some());
        }
    }

    #[tokio::test]
    async fn function_gets_the_request_and_the_client_its_answer() {
        let (address, mut invocations) = started().await;
        let head = "POST /games HTTP/1.1\r\nx-api-key: secret";
        let function = async {
            let Invocation { event, answer } = invocations.recv().await.unwrap();
            let response = json!({
                "statusCode": 201,
                "headers": { "content-type": "application/json" },
                "body": event["body"],
            });
            answer.send(Answer::parse(&response).unwrap()).unwrap();
        };
        let (response, ()) = tokio::join!(exchange(address, head, r#"{"title":"Go"}"#), function);
        assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
        assert!(
            response.contains("content-type: application/json"),
            "{response}"
        );
        assert!(response.ends_with(r#"{"title":"Go"}"#), "{response}");
    }

    #[tokio::test]
    async fn failed_function_is_503_and_may_be_asked_again() {
        let (address, mut invocations) = started().await;
        let head = "GET /games HTTP/1.1\r\nx-api-key: secret";
        let function = async { drop(invocations.recv().await.unwrap()) };
        let (response, ()) = tokio::join!(exchange(address, head, ""), function);
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert!(response.contains("retry-after: 5"), "{response}");
    }

    async fn started() -> (SocketAddr, mpsc::UnboundedReceiver<Invocation>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, invocations) = mpsc::unbounded_channel();
        tokio::spawn(serve(listener, "secret".to_owned(), sender));
        (address, invocations)
    }

    async fn exchange(address: SocketAddr, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let rest = format!("host: demo\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        let request = format!("{head}\r\n{rest}{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }
}
