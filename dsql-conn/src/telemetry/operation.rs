//! Observes one statement, or the `COMMIT` of a transaction.

use std::sync::Arc;

use tracing::Span;

use super::error_type::ErrorType;
use super::instruments::{Labels, Started};
use super::server::{Description, Server};
use super::{COMMIT, span};
use crate::config::StatementSpans;

/// A statement in progress. If it is dropped before its end, no duration is recorded.
pub(crate) struct Operation<'a> {
    server: &'a Server,
    what: What,
    span: Span,
    started: Started,
}

enum What {
    /// A statement. It has a description if statements are observed and its text is known.
    Statement(Option<Arc<Description>>),
    Commit,
}

impl<'a> Operation<'a> {
    /// Begins to observe a statement of the caller. The text of a statement that was prepared
    /// elsewhere is not known.
    pub(crate) fn statement(server: &'a Server, text: Option<&str>) -> Self {
        let (description, span) = match server.statements {
            StatementSpans::Off => (None, Span::none()),
            StatementSpans::WithSummary | StatementSpans::WithText => {
                let description = text.map(|text| server.describe(text));
                let span = span::statement(server, description.as_deref());
                (description, span)
            }
        };
        Self {
            server,
            what: What::Statement(description),
            span,
            started: Started::now(),
        }
    }

    /// Begins to observe a `COMMIT`.
    pub(crate) fn commit(server: &'a Server) -> Self {
        let span = match server.statements {
            StatementSpans::Off => Span::none(),
            StatementSpans::WithSummary | StatementSpans::WithText => span::commit(server),
        };
        Self {
            server,
            what: What::Commit,
            span,
            started: Started::now(),
        }
    }

    /// Returns the span in which the statement must run.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn ended(self, error: Option<ErrorType<'_>>) {
        if let Some(error) = error {
            span::statement_failed(&self.span, error);
        }
        let (durations, operation, summary) = match &self.what {
            What::Statement(None) => (&self.server.durations, None, None),
            What::Statement(Some(known)) => (&known.durations, None, Some(known.summary.as_str())),
            What::Commit => (&self.server.durations, Some(COMMIT), None),
        };
        let labels = Labels {
            address: &self.server.address,
            port: self.server.port,
            namespace: &self.server.namespace,
            operation,
            summary,
        };
        durations.record(self.started, &labels, error);
    }
}
