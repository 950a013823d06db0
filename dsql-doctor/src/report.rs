//! The report of an examination.

mod text;

use std::time::Duration;

use serde::Serialize;

use crate::class::Class;
use crate::finding::Finding;

/// The report of an examination. `Display` is the text that the program prints: its first line is
/// the [`summary`](Self::summary).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The cause and the remedy, or that all is well, in one line.
    pub summary: String,
    /// The class of the first cause.
    pub class: Class,
    /// The exit code of the program.
    pub exit_code: u8,
    /// One entry for each Region of the cluster, the home Region first. One entry without an
    /// endpoint if the settings are wrong.
    pub regions: Vec<RegionReport>,
}

/// The steps of a connection to one Region of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RegionReport {
    /// The endpoint's host name. `None` if the settings have no endpoint.
    pub endpoint: Option<String>,
    /// The steps, in the order of [`StepName::ALL`].
    pub steps: Vec<Step>,
}

/// One step of a connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The step.
    pub name: StepName,
    /// How it ended.
    pub state: State,
    /// How long it took, in milliseconds. `None` if it was not timed.
    #[serde(rename = "took_ms", serialize_with = "milliseconds")]
    pub took: Option<Duration>,
    /// The facts that the step found.
    pub evidence: Vec<String>,
    /// The problem, if the step found one.
    pub finding: Option<Finding>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The step passed.
    Passed,
    /// The step works, but something should be changed.
    Warned,
    /// The step failed.
    Failed,
    /// The step was not tried, because an earlier step failed.
    Skipped,
}

/// The steps, in the order of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepName {
    /// The settings as given and as understood.
    Settings,
    /// The AWS credentials: their source, and when they end.
    Credentials,
    /// This machine's clock compared with the server's. Known after the login.
    Clock,
    /// The name's addresses.
    Name,
    /// A TCP connection to each address.
    Tcp,
    /// A TLS handshake, the certificates, and a second handshake that resumes the first.
    Tls,
    /// What the token claims.
    Token,
    /// The login, by the library.
    Login,
    /// The state of the session.
    Session,
    /// `SELECT 1`, cold and warm.
    Query,
    /// The tables that were named.
    Tables,
}

impl StepName {
    /// Every step, in the order of a report.
    pub const ALL: [Self; 11] = [
        Self::Settings,
        Self::Credentials,
        Self::Clock,
        Self::Name,
        Self::Tcp,
        Self::Tls,
        Self::Token,
        Self::Login,
        Self::Session,
        Self::Query,
        Self::Tables,
    ];

    /// Returns the name that a report shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Credentials => "credentials",
            Self::Clock => "clock",
            Self::Name => "name",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Token => "token",
            Self::Login => "login",
            Self::Session => "session",
            Self::Query => "query",
            Self::Tables => "tables",
        }
    }
}

impl Report {
    pub(crate) fn new(regions: Vec<RegionReport>) -> Self {
        let failed = |state| {
            let steps = regions.iter().flat_map(|region| &region.steps);
            steps
                .filter(move |step| step.state == state)
                .find_map(|step| Some((step, step.finding.as_ref()?)))
        };
        let (summary, class) = match (failed(State::Failed), failed(State::Warned)) {
            (Some((step, finding)), _) => {
                let Finding { cause, remedy, .. } = finding;
                let name = step.name.as_str();
                (format!("{name} failed: {cause}; {remedy}"), finding.class)
            }
            (None, Some((step, finding))) => {
                let Finding { cause, remedy, .. } = finding;
                let name = step.name.as_str();
                let summary = format!("it works, but see {name}: {cause}; {remedy}");
                (summary, Class::Healthy)
            }
            (None, None) => {
                let endpoints = regions
                    .iter()
                    .filter_map(|region| region.endpoint.as_deref());
                let endpoints: Vec<_> = endpoints.collect();
                let summary = format!("all is well: {}", endpoints.join(" and "));
                (summary, Class::Healthy)
            }
        };
        Self {
            summary,
            class,
            exit_code: class.exit_code(),
            regions,
        }
    }

    /// Returns whether every step that was tried works.
    pub fn is_healthy(&self) -> bool {
        self.class == Class::Healthy
    }
}

impl Step {
    /// Creates a step that counts as passed until a problem is noted.
    pub(crate) fn new(name: StepName) -> Self {
        Self {
            name,
            state: State::Passed,
            took: None,
            evidence: Vec::new(),
            finding: None,
        }
    }

    pub(crate) fn note(&mut self, evidence: impl Into<String>) {
        self.evidence.push(evidence.into());
    }

    pub(crate) fn fail(&mut self, finding: Finding) {
        self.state = State::Failed;
        self.finding = Some(finding);
    }

    pub(crate) fn warn(&mut self, finding: Finding) {
        self.state = State::Warned;
        self.finding = Some(finding);
    }
}

fn milliseconds<S: serde::Serializer>(
    took: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    took.map(|took| took.as_secs_f64() * 1_000.0)
        .serialize(serializer)
}
