//! An API Gateway in miniature: checks the API key, and turns HTTP into events for the function.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::event::{API_KEY, Answer, Resource, event};

/// An event for the function, and where its answer is awaited.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) event: Value,
    /// Dropped unanswered when the function failed.
    pub(crate) answer: oneshot::Sender<Answer>,
}

/// Serves the API to clients with this key, until its future is dropped. The invocations come in
/// the order in which the requests came.
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
    let response = match gateway.forward(request).await {
        Ok(answer) => answer.into_response(),
        Err(refusal) => refusal.into_response(),
    };
    eprintln!("demo: {line} {}", response.status().as_u16());
    response
}

impl Gateway {
    async fn forward(&self, request: Request) -> Result<Answer, Refusal> {
        // Before the key: what does not exist asks for none.
        Resource::of(&request).ok_or(Refusal::NoSuchMethod)?;
        if !is_allowed(request.headers(), &self.key) {
            return Err(Refusal::Forbidden);
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, LONGEST_BODY).await;
        let body = body.map_err(|_| Refusal::TooLong)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let request = Request::from_parts(head, body);
        let resource = Resource::of(&request).ok_or(Refusal::NoSuchMethod)?;
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            event: event(&request, &resource),
            answer,
        };
        let failed = |_| Refusal::FunctionFailed;
        self.invocations
            .send(invocation)
            .map_err(|_| Refusal::FunctionFailed)?;
        answered.await.map_err(failed)
    }
}

fn is_allowed(headers: &HeaderMap, key: &str) -> bool {
    let mut keys = headers.get_all(API_KEY).iter();
    matches!((keys.next(), keys.next()), (Some(only), None) if only.as_bytes() == key.as_bytes())
}

/// The gateway's own answers:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html>
#[derive(Clone, Copy, Debug)]
enum Refusal {
    NoSuchMethod,
    Forbidden,
    TooLong,
    FunctionFailed,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, kind, message) = match self {
            Self::NoSuchMethod => (
                StatusCode::FORBIDDEN,
                "MissingAuthenticationTokenException",
                "Missing Authentication Token",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "ForbiddenException", "Forbidden"),
            Self::TooLong => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "RequestTooLargeException",
                "Request Too Long",
            ),
            Self::FunctionFailed => (
                StatusCode::BAD_GATEWAY,
                "InternalServerErrorException",
                "Internal server error",
            ),
        };
        let headers = [("x-amzn-errortype", kind)];
        (status, headers, axum::Json(json!({ "message": message }))).into_response()
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
            else {
                return Refusal::FunctionFailed.into_response();
            };
            headers.append(name, value);
        }
        (self.status, headers, self.body).into_response()
    }
}

/// What an API Gateway takes.
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
    async fn requests_without_key_or_method_do_not_reach_the_function() {
        let (address, mut invocations) = started().await;
        for (request, message) in [
            ("POST /games HTTP/1.1", "Forbidden"),
            ("GET /games HTTP/1.1\r\nx-api-key: wrong", "Forbidden"),
            (
                "DELETE /games HTTP/1.1\r\nx-api-key: secret",
                "Missing Authentication Token",
            ),
            ("GET / HTTP/1.1", "Missing Authentication Token"),
        ] {
            let response = exchange(address, request, "").await;
            assert!(response.starts_with("HTTP/1.1 403 "), "{response}");
            let body = json!({ "message": message }).to_string();
            assert!(response.ends_with(&body), "{response}");
        }
        assert!(invocations.try_recv().is_err());
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
    async fn failed_function_is_502() {
        let (address, mut invocations) = started().await;
        let head = "GET /games HTTP/1.1\r\nx-api-key: secret";
        let function = async { drop(invocations.recv().await.unwrap()) };
        let (response, ()) = tokio::join!(exchange(address, head, ""), function);
        assert!(response.starts_with("HTTP/1.1 502 "), "{response}");
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
