//! The events. A healthy pool emits `debug` alone. `info` and `warn` are for lost commits,
//! failovers and mistakes.

use std::error::Error as StdError;
use std::time::Duration;

use tracing::Level;

use super::TARGET;
use super::error_type::ErrorType;
use crate::cause::Cause;
use crate::error::{ConnectError, Discard, Error};
use crate::outcomes::{Outcome, OutcomeId};

pub(super) fn wants_stages() -> bool {
    tracing::enabled!(target: TARGET, Level::DEBUG)
}

/// A stage of an opening ended, successfully or not.
pub(super) fn stage(stage: &str, took: Duration) {
    tracing::debug!(
        target: TARGET,
        { dsql.stage = stage, dsql.duration = took.as_secs_f64() },
        "connect stage ended"
    );
}

/// An attempt to open a connection failed.
pub(crate) fn attempt_failed(attempt: u32, error: &ConnectError) {
    tracing::debug!(
        target: TARGET,
        {
            dsql.attempt = attempt,
            error.type = error.reason().as_str(),
            db.response.status_code = error.code().map(|code| code.code()),
            error = error as &(dyn StdError + 'static)
        },
        "connect attempt failed"
    );
}

/// The next attempt to open a connection begins after a delay.
pub(crate) fn connect_backs_off(attempt: u32, delay: Duration) {
    tracing::debug!(
        target: TARGET,
        { dsql.attempt = attempt, dsql.delay = delay.as_secs_f64() },
        "connect backs off"
    );
}

/// The pool closed a connection.
pub(crate) fn connection_closed(cause: Discard) {
    tracing::debug!(target: TARGET, { dsql.cause = cause.code() }, "connection closed");
}

/// A session ended by an error. The caller's own statement returns the error, too.
pub(crate) fn session_failed(error: &tokio_postgres::Error) {
    tracing::debug!(
        target: TARGET,
        { error = error as &(dyn StdError + 'static) },
        "session failed"
    );
}

/// An attempt at a transaction ended.
pub(crate) fn transaction_attempt(
    attempt: u32,
    region: &str,
    outcome: &str,
    cause: Option<Cause>,
    code: Option<&str>,
) {
    tracing::debug!(
        target: TARGET,
        {
            dsql.attempt = attempt,
            dsql.region = region,
            dsql.outcome = outcome,
            dsql.cause = cause.map(Cause::as_str),
            db.response.status_code = code
        },
        "transaction attempt ended"
    );
}

/// A transaction, or an operation of [`retry`](crate::retry()), runs again after a delay.
pub(crate) fn retries(attempt: u32, cause: Cause, delay: Duration) {
    tracing::debug!(
        target: TARGET,
        {
            dsql.attempt = attempt,
            dsql.cause = cause.as_str(),
            dsql.delay = delay.as_secs_f64()
        },
        "retry"
    );
}

/// The outcome of a lost `COMMIT` could not be read. Another attempt may follow.
pub(crate) fn not_settled_yet(id: OutcomeId, error: &Error) {
    tracing::debug!(
        target: TARGET,
        {
            dsql.outcome_id = %id,
            error.type = ErrorType::from(error).name,
            error = error as &(dyn StdError + 'static)
        },
        "commit not settled yet"
    );
}

/// The reply to a `COMMIT` was lost, and its outcome was read in the outcome table, if there is
/// one.
pub(crate) fn commit_lost(id: Option<OutcomeId>, settled: Option<Outcome>) {
    let id = id.map(tracing::field::display);
    match settled {
        Some(outcome) => tracing::info!(
            target: TARGET,
            { dsql.outcome_id = id, dsql.outcome = outcome_of(outcome) },
            "lost commit settled"
        ),
        None => tracing::warn!(target: TARGET, { dsql.outcome_id = id }, "commit unknown"),
    }
}

/// Another Region serves new connections from now on.
pub(crate) fn moved(region: &str, is_home: bool) {
    match is_home {
        true => tracing::info!(
            target: TARGET,
            { dsql.region = region },
            "home Region serves again"
        ),
        false => tracing::warn!(
            target: TARGET,
            { dsql.region = region },
            "failed over to the peer"
        ),
    }
}

/// The process has unusually many shared pools.
pub(crate) fn many_shared_pools(pools: usize, address: &str) {
    tracing::warn!(
        target: TARGET,
        { dsql.pools = pools, server.address = address },
        "many shared pools: build the Config once and clone it, because a credentials provider, \
         resolver or TLS configuration that is built for each call makes a pool for each call"
    );
}

pub(super) fn outcome_of(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => COMMITTED,
        Outcome::RolledBack => "rolled_back",
    }
}

pub(crate) const COMMITTED: &str = "committed";
pub(crate) const UNKNOWN: &str = "unknown";
pub(crate) const FAILED: &str = "failed";
pub(crate) const TIMED_OUT: &str = "timed_out";
