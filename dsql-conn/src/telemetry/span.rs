//! The spans. All are of level DEBUG: `info` is quiet.

use tokio::net::TcpStream;
use tracing::Span;
use tracing::field::Empty;

use super::error_type::ErrorType;
use super::server::{Description, Server};
use super::{COMMIT, SYSTEM, TARGET};
use crate::error::{ConnectError, Error};

/// Creates the span of opening a connection in one Region, with all attempts.
pub(crate) fn connect(server: &Server) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "dsql.connect",
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = SYSTEM,
        db.namespace = server.namespace.as_str(),
        server.address = server.address.as_str(),
        server.port = server.port,
        network.peer.address = Empty,
        network.peer.port = Empty,
        dsql.region = server.region.as_str(),
        dsql.attempt = Empty,
        dsql.outcome = Empty,
        db.response.status_code = Empty,
        error.type = Empty,
    )
}

/// Records the address that answered.
pub(crate) fn reached(span: &Span, stream: &TcpStream) {
    if !span.is_disabled()
        && let Ok(address) = stream.peer_addr()
    {
        span.record("network.peer.address", address.ip().to_string());
        span.record("network.peer.port", address.port());
    }
}

pub(crate) fn connected<T>(span: &Span, attempt: u32, opened: &Result<T, ConnectError>) {
    if span.is_disabled() {
        return;
    }
    span.record("dsql.attempt", attempt);
    match opened {
        Ok(_) => {
            span.record("dsql.outcome", "opened");
        }
        Err(error) => {
            span.record("dsql.outcome", "failed");
            failed(span, ErrorType::of_connect(error));
        }
    }
}

/// Creates the span of a checkout that waits: for a connection to be returned or opened, or for a
/// ping.
pub(crate) fn checkout(server: &Server, pool: &str) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "dsql.checkout",
        otel.status_code = Empty,
        db.system.name = SYSTEM,
        db.namespace = server.namespace.as_str(),
        server.address = server.address.as_str(),
        server.port = server.port,
        db.client.connection.pool.name = pool,
        dsql.outcome = Empty,
        error.type = Empty,
    )
}

pub(crate) fn checked_out<T>(span: &Span, result: &Result<T, Error>) {
    match result {
        _ if span.is_disabled() => {}
        Ok(_) => {
            span.record("dsql.outcome", "served");
        }
        Err(error) => {
            span.record("dsql.outcome", "failed");
            failed(
                span,
                ErrorType {
                    code: None,
                    ..error.into()
                },
            );
        }
    }
}

/// Creates the span of a transaction, from its first attempt to its end.
pub(crate) fn transaction(server: &Server) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "dsql.transaction",
        otel.status_code = Empty,
        db.system.name = SYSTEM,
        db.namespace = server.namespace.as_str(),
        server.address = server.address.as_str(),
        server.port = server.port,
        dsql.attempt = Empty,
        dsql.outcome = Empty,
    )
}

pub(crate) fn transaction_ended(span: &Span, attempt: u32, outcome: &str) {
    if span.is_disabled() {
        return;
    }
    span.record("dsql.attempt", attempt);
    span.record("dsql.outcome", outcome);
    if outcome != super::event::COMMITTED {
        span.record("otel.status_code", "ERROR");
    }
}

/// Creates the span of a statement of the caller.
pub(super) fn statement(server: &Server, description: Option<&Description>) -> Span {
    let summary = description.map(|known| known.summary.as_str());
    let name = summary.filter(|summary| !summary.is_empty());
    tracing::debug_span!(
        target: TARGET,
        "dsql.statement",
        otel.name = name.unwrap_or(SYSTEM),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = SYSTEM,
        db.namespace = server.namespace.as_str(),
        server.address = server.address.as_str(),
        server.port = server.port,
        dsql.region = server.region.as_str(),
        db.query.summary = summary,
        db.query.text = description.and_then(|known| known.text.as_deref()),
        db.operation.name = Empty,
        db.response.status_code = Empty,
        error.type = Empty,
    )
}

/// Creates the span of a transaction's `COMMIT`.
pub(super) fn commit(server: &Server) -> Span {
    let span = statement(server, None);
    if !span.is_disabled() {
        span.record("otel.name", COMMIT);
        span.record("db.operation.name", COMMIT);
        span.record("db.query.summary", COMMIT);
    }
    span
}

/// Records that a statement, or the `COMMIT`, has failed.
pub(super) fn statement_failed(span: &Span, error: ErrorType<'_>) {
    if !span.is_disabled() {
        failed(span, error);
    }
}

fn failed(span: &Span, error: ErrorType<'_>) {
    span.record("error.type", error.name);
    span.record("otel.status_code", "ERROR");
    if let Some(code) = error.code {
        span.record("db.response.status_code", code.code());
    }
}
