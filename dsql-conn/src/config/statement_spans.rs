//! Whether statements have spans of their own.

use super::Config;

/// How much spans, and the attributes of durations, show of single statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum StatementSpans {
    /// Nothing. Statements have no spans, and their durations no `db.query.summary`.
    #[default]
    Off,
    /// A span for each statement, with its `db.query.summary`: its operations and their tables,
    /// such as `SELECT games`.
    WithSummary,
    /// Also the `db.query.text`. Parameters are never in it; literals are replaced by `?`.
    WithText,
}

impl Config {
    /// Sets whether statements have spans of their own. Defaults to [`StatementSpans::Off`].
    ///
    /// Statements that were prepared by the driver have no summary, because their text is not
    /// known.
    #[must_use]
    pub fn statement_spans(mut self, spans: StatementSpans) -> Self {
        self.statement_spans = spans;
        self
    }
}
