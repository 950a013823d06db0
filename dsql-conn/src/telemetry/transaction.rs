//! Observes one transaction, with its attempts.

use tokio_postgres::error::SqlState;
use tracing::Span;

use super::server::Server;
use super::{event, span};
use crate::cause::Cause;

/// A transaction in progress.
pub(crate) struct Observed {
    span: Span,
    /// The attempt in progress, and the Region that serves it.
    attempt: u32,
    region: String,
    is_unknown: bool,
}

/// Why an attempt did not commit.
pub(crate) struct Unfinished {
    pub(crate) outcome: &'static str,
    pub(crate) cause: Option<Cause>,
    pub(crate) code: Option<SqlState>,
}

impl Observed {
    pub(crate) fn of(server: &Server) -> Self {
        Self {
            span: span::transaction(server),
            attempt: 0,
            region: String::new(),
            is_unknown: false,
        }
    }

    /// Returns the span in which the transaction must run.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn attempt_begins(&mut self, attempt: u32, server: &Server) {
        self.attempt = attempt;
        if !self.span.is_disabled() {
            self.region.clone_from(&server.region);
        }
    }

    pub(crate) fn attempt_ended(&self, unfinished: Option<Unfinished>) {
        if self.span.is_disabled() {
            return;
        }
        let (outcome, cause, code) = match &unfinished {
            None => (event::COMMITTED, None, None),
            Some(unfinished) => (
                unfinished.outcome,
                unfinished.cause,
                unfinished.code.as_ref().map(SqlState::code),
            ),
        };
        event::transaction_attempt(self.attempt, &self.region, outcome, cause, code);
    }

    /// Records that the outcome is unknown, unless a later attempt commits.
    pub(crate) fn stays_unknown(&mut self) {
        self.is_unknown = true;
    }

    pub(crate) fn ended(self, is_committed: bool) {
        let outcome = match is_committed {
            true => event::COMMITTED,
            false if self.is_unknown => event::UNKNOWN,
            false => event::FAILED,
        };
        span::transaction_ended(&self.span, self.attempt, outcome);
    }
}
