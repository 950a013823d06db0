//! The Lambda Runtime API of one execution environment: sends events, takes responses.
//!
//! The function requests each event and blocks until there is one, so the server decides when an
//! invocation starts. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A server for one Lambda process.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    address: SocketAddr,
    events: mpsc::UnboundedSender<Invocation>,
    polled: watch::Receiver<bool>,
    server: JoinHandle<()>,
}

impl RuntimeApi {
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::unbounded_channel();
        let (polled_sender, polled) = watch::channel(false);
        let environment = Arc::new(Environment {
            waiting: tokio::sync::Mutex::new(waiting),
            running: Mutex::new(HashMap::new()),
            polled: polled_sender,
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route(
                "/2018-06-01/runtime/init/error",
                post(async || StatusCode::ACCEPTED),
            )
            .route("/2020-01-01/extension/register", post(register))
            .route("/2020-01-01/extension/event/next", get(pending::<Response>))
            .with_state(environment);
        let server = tokio::spawn(async move {
            axum::serve(listener, routes)
                .await
                .expect("serving never ends");
        });
        Ok(Self {
            address,
            events,
            polled,
            server,
        })
    }

    /// Returns the value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the function requests its first event, which ends the init phase.
    pub(crate) async fn initialized(&mut self) {
        self.polled
            .wait_for(|polled| *polled)
            .await
            .expect("the server lives as long as we do");
    }

    /// Sends an event and waits for the function's response.
    pub(crate) async fn invoke(&self, event: Value, timeout: Duration) -> Result<Value, String> {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            event,
            deadline: SystemTime::now() + timeout,
            answer,
        };
        self.events
            .send(invocation)
            .expect("the server lives as long as we do");
        answered.await.expect("an answer is kept until it arrives")
    }
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Environment {
    /// Held across an await by the single request that waits for an event.
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Result<Value, String>>>>,
    polled: watch::Sender<bool>,
}

impl Environment {
    fn settle(&self, id: &str, outcome: Result<Value, String>) -> StatusCode {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.remove(id).map(|answer| answer.send(outcome)) {
            Some(_) => StatusCode::ACCEPTED,
            None => StatusCode::BAD_REQUEST,
        }
    }
}

#[derive(Debug)]
struct Invocation {
    event: Value,
    deadline: SystemTime,
    answer: oneshot::Sender<Result<Value, String>>,
}

async fn next(State(environment): State<Arc<Environment>>) -> Response {
    environment.polled.send_replace(true);
    let Some(invocation) = environment.waiting.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let id = Uuid::new_v4().to_string();
    let deadline = invocation
        .deadline
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("the clock is past 1970");
    environment
        .running
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(id.clone(), invocation.answer);
    let headers = AppendHeaders([
        ("lambda-runtime-aws-request-id", id),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            FUNCTION_ARN.to_owned(),
        ),
        ("lambda-runtime-trace-id", TRACE_ID.to_owned()),
    ]);
    (headers, invocation.event.to_string()).into_response()
}

async fn response(
    State(environment): State<Arc<Environment>>,
    Path(id): Path<String>,
    body: String,
) -> StatusCode {
    let answer = serde_json::from_str(&body).map_err(|error| format!("{error}: {body}"));
    environment.settle(&id, answer)
}

async fn error(
    State(environment): State<Arc<Environment>>,
    Path(id): Path<String>,
    body: String,
) -> StatusCode {
    environment.settle(&id, Err(format!("the function failed: {body}")))
}

/// Serves the Extensions API, by which a function registers for SIGTERM.
async fn register(headers: HeaderMap) -> Response {
    if !headers.contains_key("lambda-extension-name") {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let identifier = ("lambda-extension-identifier", Uuid::new_v4().to_string());
    let function = serde_json::json!({
        "functionName": "generate-game",
        "functionVersion": "$LATEST",
        "handler": "bootstrap",
    });
    (AppendHeaders([identifier]), axum::Json(function)).into_response()
}

const FUNCTION_ARN: &str = "arn:aws:lambda:us-east-1:111122223333:function:generate-game";

const TRACE_ID: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0";
