//! The settings of an examination.

use std::fmt;
use std::sync::Arc;

use dsql_conn::{Config, ConfigError};

use crate::finding::Finding;
use crate::report::{RegionReport, State, Step, StepName};

/// Examines the connection to a cluster.
///
/// ```no_run
/// # async fn example() -> Result<(), dsql_conn::Error> {
/// use dsql_conn::Config;
/// use dsql_doctor::Doctor;
///
/// let config = Config::from_env()?;
/// if let Err(error) = config.connect().await {
///     eprintln!("{error}\n{}", Doctor::new(config).examine().await);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Doctor {
    pub(crate) settings: Result<Config, ConfigError>,
    pub(crate) given: Vec<String>,
    pub(crate) tables: Vec<String>,
    pub(crate) outcomes: Option<String>,
    observer: Option<Arc<Observer>>,
}

type Observer = dyn Fn(Progress<'_>) + Send + Sync;

/// A step that begins, to be displayed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The endpoint of the Region.
    pub endpoint: &'a str,
    /// The step.
    pub step: StepName,
}

impl Doctor {
    /// Examines this configuration.
    pub fn new(config: Config) -> Self {
        Self::with_settings(Ok(config))
    }

    /// Examines settings that may be wrong. If they are, the report says so.
    pub fn with_settings(settings: Result<Config, ConfigError>) -> Self {
        Self {
            settings,
            given: Vec::new(),
            tables: Vec::new(),
            outcomes: None,
            observer: None,
        }
    }

    /// Examines the settings of the environment: see [`Config::from_env`].
    pub fn from_env() -> Self {
        Self::with_settings(Config::from_env())
            .given("settings from the environment (DSQL_ENDPOINT, ..)")
    }

    /// Notes in the report where the settings come from. Must not contain a secret.
    pub fn given(mut self, origin: impl Into<String>) -> Self {
        self.given.push(origin.into());
        self
    }

    /// Checks that this table exists and may be read, such as a table of migrations. The name may
    /// have a schema: `games.migrations`. Defaults to no table.
    pub fn table(mut self, name: impl Into<String>) -> Self {
        self.tables.push(name.into());
        self
    }

    /// Checks that this is an outcome table: see [`dsql_conn::Outcomes`]. Defaults to none.
    pub fn outcomes(mut self, table: impl Into<String>) -> Self {
        self.outcomes = Some(table.into());
        self
    }

    /// Calls a function when a step begins, to show progress. Defaults to none.
    pub fn observer(mut self, observer: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    pub(crate) fn wrong_settings(&self, error: &ConfigError) -> RegionReport {
        let mut settings = Step::new(StepName::Settings);
        settings.evidence.clone_from(&self.given);
        settings.fail(Finding::of_settings(error));
        let rest = StepName::ALL.into_iter().skip(1).map(|name| Step {
            state: State::Skipped,
            ..Step::new(name)
        });
        RegionReport {
            endpoint: None,
            steps: std::iter::once(settings).chain(rest).collect(),
        }
    }

    pub(crate) fn begins(&self, endpoint: &str, step: StepName) {
        if let Some(observer) = &self.observer {
            observer(Progress { endpoint, step });
        }
    }
}

impl fmt::Debug for Doctor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doctor")
            .field("settings", &self.settings)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}
