//! A small API Gateway: checks path, API key and body, and turns requests into events for the
//! function. It answers what the deployed gateway answers.

mod model;
mod refusal;

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use self::refusal::Refusal;
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
        // The path comes before the key: the key is a setting of the paths that exist.
        Resource::of(&request).ok_or(Refusal::UnknownPath)?;
        if !is_allowed(request.headers(), &self.key) {
            return Err(Refusal::InvalidKey);
        }
        let (head, body) = request.into_parts();
        let body = to_bytes(body, LONGEST_BODY).await;
        let body = body.map_err(|_| Refusal::TooLarge)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        let request = Request::from_parts(head, body);
        let resource = Resource::of(&request).ok_or(Refusal::UnknownPath)?;
        // Any content type: the deployed methods have the model for `$default`, too.
        model::check(request.method(), resource.template, request.body())
            .map_err(|errors| Refusal::InvalidBody { errors })?;
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            event: event(&request, &resource, request_id),
            answer,
        };
        let sent = self.invocations.send(invocation);
        sent.map_err(|_| Refusal::FunctionFailed)?;
        answered.await.map_err(|_| Refusal::FunctionFailed)
    }
}

fn is_allowed(headers: &HeaderMap, key: &str) -> bool {
    let mut keys = headers.get_all(API_KEY).iter();
    matches!((keys.next(), keys.next()), (Some(only), None) if only.as_bytes() == key.as_bytes())
}

/// Turns the function's response into an HTTP response.
fn response(answer: Answer) -> Result<Response, Refusal> {
    let mut headers = HeaderMap::new();
    for (name, value) in &answer.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>())
        else {
            return Err(Refusal::FunctionFailed);
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

    use serde::Deserialize;
    use serde_json::json;
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

    /// A request and who answers it. The wiring tests in `infra` derive the same answers from the
    /// deployed configuration.
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Case {
        method: String,
        path: String,
        /// The only valid one is `secret`.
        api_key: Option<String>,
        content_type: Option<String>,
        #[serde(default)]
        body: String,
        /// The type of the gateway's response, or `function`.
        answer: String,
    }

    #[tokio::test]
    async fn requests_get_the_answer_of_the_deployed_gateway() {
        let (address, mut invocations) = started().await;
        tokio::spawn(async move {
            let answer = json!({ "statusCode": 200, "body": "the function" });
            while let Some(invocation) = invocations.recv().await {
                let answer = Answer::parse(&answer).unwrap();
                invocation.answer.send(answer).unwrap();
            }
        });
        let table = include_str!("../../generate-game/gateway-requests.json");
        for case in serde_json::from_str::<Vec<Case>>(table).unwrap() {
            let key = case
                .api_key
                .iter()
                .map(|key| format!("\r\nx-api-key: {key}"));
            let content_type = case.content_type.iter();
            let content_type = content_type.map(|value| format!("\r\ncontent-type: {value}"));
            let headers: String = key.chain(content_type).collect();
            let head = format!("{} {} HTTP/1.1{headers}", case.method, case.path);
            let response = exchange(address, &head, &case.body).await;
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            if case.answer == "function" {
                assert_eq!(body, "the function", "{case:?}");
                continue;
            }
            let expected = refusal::answer_of(&case.answer);
            let status = format!("HTTP/1.1 {} ", expected.status);
            assert!(head.starts_with(&status), "{case:?}: {response}");
            let content_type = "content-type: application/problem+json";
            assert!(head.contains(content_type), "{case:?}: {response}");
            let problem: Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["title"], json!(expected.title), "{case:?}");
            assert_eq!(problem["status"], json!(expected.status), "{case:?}");
            let detail = problem["detail"].as_str().unwrap();
            assert!(
                expected.detail.starts_with('$') || detail == expected.detail,
                "{case:?}: {detail}"
            );
            assert!(problem["request_id"].is_string(), "{case:?}: {response}");
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
