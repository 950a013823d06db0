//! The Lambda Runtime API of one process: sends one event, and measures the time of the response.
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A server for one Lambda process. Dropping it ends it.
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    answers: mpsc::UnboundedReceiver<(SystemTime, Value)>,
    server: JoinHandle<()>,
}

/// The event until it is sent, and the channel of its response.
struct Invocation {
    event: Mutex<Option<Value>>,
    answers: mpsc::UnboundedSender<(SystemTime, Value)>,
}

impl RuntimeApi {
    /// Starts the server with one event, a request for the list of games.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (sender, answers) = mpsc::unbounded_channel();
        let invocation = Invocation {
            event: Mutex::new(Some(event())),
            answers: sender,
        };
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/first/response",
                post(answer),
            )
            .route("/2018-06-01/runtime/invocation/first/error", post(answer))
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(pending::<Response>))
            .with_state(Arc::new(invocation));
        let server = tokio::spawn(async move {
            axum::serve(listener, routes)
                .await
                .expect("serving never ends");
        });
        Ok(Self {
            address,
            answers,
            server,
        })
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the function's response, and returns its time.
    pub(crate) async fn answer(&mut self) -> Option<(SystemTime, Value)> {
        self.answers.recv().await
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(invocation): State<Arc<Invocation>>) -> Response {
    let event = {
        let mut event = invocation
            .event
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        event.take()
    };
    let Some(event) = event else {
        return pending().await;
    };
    let headers = AppendHeaders([
        ("lambda-runtime-aws-request-id", "first"),
        ("lambda-runtime-deadline-ms", "9999999999999"),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:111122223333:function:generate-game",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        ),
    ]);
    (headers, Json(event)).into_response()
}

async fn answer(State(invocation): State<Arc<Invocation>>, body: String) -> StatusCode {
    let now = SystemTime::now();
    let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
    // The receiver is gone if the response took too long.
    invocation.answers.send((now, answer)).ok();
    StatusCode::ACCEPTED
}

/// Serves the Extensions API, by which a function registers for SIGTERM.
async fn register() -> Response {
    let identifier = ("lambda-extension-identifier", "bench");
    let function = json!({
        "functionName": "generate-game",
        "functionVersion": "$LATEST",
        "handler": "bootstrap",
    });
    (AppendHeaders([identifier]), Json(function)).into_response()
}

/// The event of an API Gateway for a REST API, for `GET /games`.
fn event() -> Value {
    json!({
        "resource": "/games",
        "path": "/games",
        "httpMethod": "GET",
        "headers": { "host": "bench.execute-api.us-east-1.amazonaws.com" },
        "multiValueHeaders": { "host": ["bench.execute-api.us-east-1.amazonaws.com"] },
        "requestContext": {
            "accountId": "111122223333",
            "apiId": "bench",
            "httpMethod": "GET",
            "identity": { "sourceIp": "127.0.0.1" },
            "path": "/games",
            "protocol": "HTTP/1.1",
            "requestId": "first",
            "resourcePath": "/games",
            "stage": "prod",
        },
        "body": null,
        "isBase64Encoded": false,
    })
}
