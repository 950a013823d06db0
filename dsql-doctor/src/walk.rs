//! Checks a connection to one Region, step by step.

mod credentials;
mod login;
mod network;
mod session;
mod settings;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dsql_conn::{Config, ConnectError, Connection, Error, Reason, Summary};
use tokio::time::timeout;

use crate::class::Class;
use crate::doctor::Doctor;
use crate::finding::Finding;
use crate::report::{RegionReport, Report, State, Step, StepName};
use crate::words::rough;

/// The steps of a connection to one Region, as far as they were checked.
struct Walk<'a> {
    doctor: &'a Doctor,
    config: Config,
    summary: Summary,
    steps: Vec<Step>,
}

impl Doctor {
    /// Checks each step of a connection, in each Region of the cluster, until one fails. The
    /// failure is in the report.
    ///
    /// Each step takes at most the [`connect_timeout`](Config::connect_timeout) of the
    /// configuration.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connections.
    pub async fn examine(&self) -> Report {
        let config = match &self.settings {
            Ok(config) => config,
            Err(error) => return Report::new(vec![self.wrong_settings(error)]),
        };
        let mut regions = Vec::new();
        for config in config.regions() {
            regions.push(walk(self, config).await);
        }
        Report::new(regions)
    }
}

/// Checks until a step fails.
async fn walk(doctor: &Doctor, config: Config) -> RegionReport {
    let endpoint = config.endpoint().host().to_owned();
    let mut walk = Walk {
        doctor,
        summary: config.summary(),
        config,
        steps: Vec::new(),
    };
    walk.all().await;
    for name in StepName::ALL {
        if !walk.steps.iter().any(|step| step.name == name) {
            let state = State::Skipped;
            walk.steps.push(Step {
                state,
                ..Step::new(name)
            });
        }
    }
    // The clock is checked last, but shown before the steps that it may affect.
    walk.steps.sort_by_key(|step| step.name);
    RegionReport {
        endpoint: Some(endpoint),
        steps: walk.steps,
    }
}

impl Walk<'_> {
    /// Runs all steps. Returns `None` if a step failed.
    async fn all(&mut self) -> Option<()> {
        self.settings();
        self.credentials().await?;
        let addresses = self.name().await?;
        let address = self.tcp(addresses).await?;
        self.tls(address).await?;
        self.token();
        let connection = self.login().await?;
        self.clock(&connection).await?;
        self.session(&connection).await?;
        self.query(&connection).await?;
        self.tables(&connection).await
    }

    fn begin(&self, name: StepName) -> (Step, Instant) {
        self.doctor.begins(self.config.endpoint().host(), name);
        (Step::new(name), Instant::now())
    }

    /// Ends a step. Returns `None` if it failed, so that the walk ends.
    fn end(&mut self, mut step: Step, began: Instant) -> Option<()> {
        step.took = Some(began.elapsed());
        self.keep(step)
    }

    /// Keeps a step that already has its time, or needs none.
    fn keep(&mut self, step: Step) -> Option<()> {
        let state = step.state;
        match self.steps.iter_mut().find(|known| known.name == step.name) {
            Some(known) => {
                known.evidence.extend(step.evidence);
                known.state = step.state;
                known.finding = step.finding;
            }
            None => self.steps.push(step),
        }
        (state != State::Failed).then_some(())
    }

    /// Ends a step by an error of the library. An error of the credentials or the clock is reported
    /// at their steps.
    fn refused(&mut self, mut step: Step, began: Instant, error: &ConnectError) -> Option<()> {
        let finding = Finding::of_connect(error);
        let name = match finding.class {
            Class::Credentials => StepName::Credentials,
            Class::Clock => StepName::Clock,
            _ => step.name,
        };
        if name == step.name {
            step.fail(finding);
            return self.end(step, began);
        }
        let mut cause = Step::new(name);
        cause.fail(finding);
        self.keep(cause);
        step.note(format!("refused: see {}", name.as_str()));
        step.state = State::Failed;
        self.end(step, began)
    }

    /// Runs a probe within the connect timeout.
    async fn within<T>(&self, probe: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let limit = self.summary.connect_timeout;
        timeout(limit, probe).await.unwrap_or_else(|_| {
            let said = format!("no reply within {limit:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, said))
        })
    }

    /// Lets the library open a connection after a probe has failed, and returns its error.
    async fn library(&self) -> Option<ConnectError> {
        match self.config.connect().await {
            Ok(_) => None,
            Err(Error::Connect(error)) => Some(error),
            Err(_) => None,
        }
    }

    fn host_and_user(&self) -> String {
        let host = self.config.endpoint().dialed();
        format!("cannot connect to {host} as {:?}", self.summary.user)
    }
}

/// The first address that accepted a connection.
type Reached = SocketAddr;

/// How far a clock may be off before the service refuses tokens: AWS's SigV4 allows 5 minutes.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

impl Walk<'_> {
    /// Compares the server's clock with this machine's.
    async fn clock(&mut self, connection: &Connection) -> Option<()> {
        let (mut step, began) = self.begin(StepName::Clock);
        let sql = "SELECT extract(epoch FROM clock_timestamp())::float8";
        // The first statement of a session is slow, which would distort the comparison.
        let warm = connection.query_typed_one(sql, &[]).await;
        let (sent, asked) = (self.config.time(), Instant::now());
        let answer = match warm {
            Ok(_) => connection.query_typed_one(sql, &[]).await,
            Err(error) => Err(error),
        };
        let round_trip = asked.elapsed();
        let server: f64 = match answer {
            Ok(row) => row.get(0),
            Err(error) => {
                step.fail(Finding::of_error(&error));
                return self.end(step, began);
            }
        };
        let epoch = sent
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let local = (epoch + round_trip / 2).as_secs_f64();
        let off = Duration::try_from_secs_f64((server - local).abs()).unwrap_or(Duration::MAX);
        let direction = match server > local {
            true => "behind",
            false => "ahead of",
        };
        step.note(format!(
            "{:.1} ms {direction} the server's, within {:.1} ms",
            off.as_secs_f64() * 1_000.0,
            round_trip.as_secs_f64() * 500.0
        ));
        if off > TOLERANCE / 5 {
            let cause = format!(
                "this machine's clock is {} {direction} the server's; tokens are refused from {} \
                 on",
                rough(off),
                rough(TOLERANCE)
            );
            step.warn(Finding::new(
                Reason::ClockSkew,
                cause,
                Reason::ClockSkew.remedy(),
            ));
        }
        self.end(step, began)
    }
}
