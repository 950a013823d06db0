//! Why a run has no report.

use std::fmt;
use std::time::Duration;

/// Why a run has no report.
#[derive(Debug)]
pub enum Failure {
    /// The workers made no progress. Has the state of each.
    NoProgress(String),
    /// The cluster or the bank could not be set up, or the final state not be read.
    Setup(Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    pub(crate) fn setup(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Setup(Box::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgress(worker_progress) => write!(
                f,
                "no progress for {} s\n{worker_progress}",
                NO_PROGRESS.as_secs()
            ),
            Self::Setup(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failure {}

/// How long the workers may make no progress. Far above every timeout of the configuration.
pub(crate) const NO_PROGRESS: Duration = Duration::from_secs(60);
