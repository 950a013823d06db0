//! Where spans, log lines and metrics are sent.

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use dsql_conn::OPERATION_DURATION_BOUNDS;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::Empty;
use tracing::level_filters::LevelFilter;
use tracing::{Instrument, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

/// Starts logging, and sends traces to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, if
/// it is set. Without a collector the log has a line for the end of each span.
///
/// `RUST_LOG` sets the levels of the log, such as `server=info,dsql_conn=debug`.
///
/// # Errors
///
/// If the exporter cannot be made, or a subscriber was installed before.
pub fn start() -> Result<Option<SdkTracerProvider>, Box<dyn Error + Send + Sync>> {
    let levels = env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned());
    let levels: Targets = levels.parse()?;
    let lines = fmt::layer();
    if env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_none() {
        let lines = lines.with_span_events(FmtSpan::CLOSE).with_filter(levels);
        registry().with(lines).try_init()?;
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build()?;
    let resource = Resource::builder().with_service_name("notes").build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build();
    let log = registry().with(lines.with_filter(levels));
    log.with(traces(&provider)).try_init()?;
    Ok(Some(provider))
}

/// Makes traces of the spans of requests, with those of the pool below them.
pub fn traces<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let targets = Targets::new()
        .with_target("dsql_conn", LevelFilter::DEBUG)
        .with_target("server", LevelFilter::INFO);
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("notes"))
        .with_filter(targets)
}

/// Returns the recorder of metrics, in the names that Prometheus advises.
///
/// # Errors
///
/// None: the buckets are not empty.
pub fn recorder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .with_recommended_naming(true)
        .set_buckets(&OPERATION_DURATION_BOUNDS)
}

/// Records metrics from now on. Must run before the pool is made.
///
/// # Errors
///
/// If there is a recorder already.
pub fn record() -> Result<PrometheusHandle, BuildError> {
    let handle = recorder()?.install_recorder()?;
    let upkeep = handle.clone();
    // The values in the histograms grow until the page is read.
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(10));
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

/// Opens the span of a request, named by its route.
pub(crate) async fn traced(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    let method = request.method().as_str();
    let span = tracing::info_span!(
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
    );
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", response.status().as_u16());
    response
}
