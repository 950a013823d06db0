//! Keeps notes in Aurora DSQL, and serves them as JSON.
//!
//! A request enters by [`app`]. [`notes`] runs SQL on connections of the pool, and [`failure`]
//! makes responses of errors. [`telemetry`] writes log lines or traces, and the page of metrics.

pub mod failure;
pub mod notes;
pub mod telemetry;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::get;
use dsql_conn::Pool;
use metrics_exporter_prometheus::PrometheusHandle;

/// Returns the routes of the server.
pub fn app(pool: Pool, metrics: PrometheusHandle) -> Router {
    let notes = Router::new()
        .route("/notes", get(notes::list).post(notes::create))
        .route("/notes/{id}", get(notes::find))
        .layer(from_fn(telemetry::traced));
    Router::new()
        .merge(notes)
        .route("/ready", get(ready))
        .with_state(pool)
        .route("/metrics", get(page).with_state(metrics))
}

/// Ready unless connections cannot be opened and none is left. Sends nothing to the cluster: a
/// check that queries would turn a short outage of the database into a restart of all servers.
async fn ready(State(pool): State<Pool>) -> StatusCode {
    let stats = pool.stats();
    match stats.connections > 0 || stats.failed == 0 {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn page(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    let text = "text/plain; version=0.0.4";
    ([(header::CONTENT_TYPE, text)], metrics.render())
}
