//! The settings of a migrator.

use std::sync::Arc;
use std::time::Duration;

use crate::difference::Difference;
use crate::error::Error;
use crate::failure::Failure;
use crate::history::{Comparison, History, Record, compare};
use crate::migration::Migrations;
use crate::progress::Progress;

/// The settings that a run needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) migrations: Migrations,
    pub(crate) history: History,
    pub(crate) allows_missing: bool,
    pub(crate) allows_out_of_order: bool,
    pub(crate) takeover_after: Duration,
    pub(crate) observer: Option<Observer>,
}

/// The function that is called with each step.
#[derive(Clone)]
pub(crate) struct Observer(pub(crate) Arc<dyn Fn(&Progress) + Send + Sync>);

impl Settings {
    pub(crate) fn new(migrations: Migrations) -> Self {
        Self {
            migrations,
            history: History::new(None, "dsql_migrations".to_owned()),
            allows_missing: false,
            allows_out_of_order: false,
            takeover_after: Duration::from_secs(2),
            observer: None,
        }
    }

    pub(crate) fn notice(&self, progress: Progress) {
        if let Some(Observer(observer)) = &self.observer {
            observer(&progress);
        }
    }

    /// Compares the files with records, without the differences that are allowed.
    pub(crate) fn compare(&self, records: &[Record]) -> Comparison<'_> {
        let mut found = compare(&self.migrations, records);
        found.differences.retain(|difference| match difference {
            Difference::Changed { .. } => true,
            Difference::Missing { .. } => !self.allows_missing,
            Difference::OutOfOrder { .. } => !self.allows_out_of_order,
        });
        found
    }

    /// Returns the failure for a history that could not be read or written.
    pub(crate) fn history_failed(&self, source: tokio_postgres::Error) -> Failure {
        let table = self.history.table();
        Failure::new(source, |source| Error::History { table, source })
    }
}
