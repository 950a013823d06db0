//! A cluster, and calls of the server's routes.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use dsql_conn::{Config, Pool};
use dsql_local::LocalCluster;
use serde_json::{Value, json};
use server::{app, notes, telemetry};
use tower::ServiceExt;

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// The configuration of the cluster's administrator.
pub(crate) fn config(cluster: &LocalCluster) -> Config {
    Config::from_variables(cluster.variables()).unwrap()
}

/// The server's routes over a pool whose cluster has the tables.
pub(crate) async fn serve(cluster: &LocalCluster) -> Router {
    let pool = Pool::connect(config(cluster)).await.unwrap();
    notes::create_tables(&pool).await.unwrap();
    routes(pool)
}

/// The server's routes, with a page of metrics on which nothing is recorded.
pub(crate) fn routes(pool: Pool) -> Router {
    let recorder = telemetry::recorder().unwrap().build_recorder();
    app(pool, recorder.handle())
}

pub(crate) async fn get(app: &Router, path: &str) -> Answer {
    call(app, Method::GET, path, Body::empty()).await
}

/// Posts a note.
pub(crate) async fn post(app: &Router, title: &str) -> Answer {
    let body = json!({ "title": title }).to_string();
    call(app, Method::POST, "/notes", body.into()).await
}

async fn call(app: &Router, method: Method, path: &str, body: Body) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let response = app.clone().oneshot(request.body(body).unwrap()).await;
    let (head, body) = response.unwrap().into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    Answer {
        status: head.status,
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}
