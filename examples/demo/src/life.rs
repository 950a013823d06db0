//! The steps of the Lambda's life: what is done in each, and what it proves.

use std::error::Error;
use std::time::{Duration, Instant};

use dsql_local::{ConnectionLog, Identity, LocalCluster, Outcome};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::binaries::Binaries;
use crate::environment::Environment;
use crate::event::event;
use crate::lambda::Lambda;

/// What the steps share.
pub(crate) struct Life {
    pub(crate) binaries: Binaries,
    pub(crate) environment: Environment,
    pub(crate) function: Identity,
    pub(crate) cluster: LocalCluster,
    pub(crate) echo: bool,
}

impl Life {
    /// The deploy-time program prepares the cluster, and a second run finds nothing to do.
    pub(crate) async fn bootstrap(&self) -> Result<((), String), Box<dyn Error>> {
        let first = self.run_bootstrap().await?;
        let second = self.run_bootstrap().await?;
        let created = |lines: &str| lines.lines().filter(|l| l.starts_with("created ")).count();
        if created(&first) == 0 || created(&second) != 0 {
            return Err(format!("first run: {first}, second run: {second}").into());
        }
        let trust = self
            .cluster
            .query("SELECT pg_role_name, arn FROM sys.iam_pg_role_mappings");
        let expected =
            [[Some("game"), Some(self.function.arn())].map(|text| text.map(str::to_owned))];
        let trust = trust.await?;
        if trust != expected {
            return Err(format!("the cluster's role mappings are {trust:?}").into());
        }
        let proof = format!(
            "{} things created (schema, tables, role), a second run created none; \
             role game trusts {}",
            created(&first),
            self.function.arn(),
        );
        Ok(((), proof))
    }

    async fn run_bootstrap(&self) -> Result<String, Box<dyn Error>> {
        let output = self
            .environment
            .command(&self.binaries.bootstrap, self.cluster.admin())
            .env("GAME_ROLE_ARN", self.function.arn())
            .output()
            .await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// From the start of the process to the first saved game.
    pub(crate) async fn cold_start(&self) -> Result<(Started, String), Box<dyn Error>> {
        let start = Instant::now();
        let mut lambda = self.lambda(WARM, &self.function).await?;
        lambda.initialized().await?;
        let initialized = start.elapsed();
        let title = json!({ "title": "Demo" });
        let answer = lambda.invoke(event("POST", "/games", Some(title))).await?;
        let answered = start.elapsed();

        let id = match (answer.status, answer.body["id"].as_str()) {
            (201, Some(id)) => id.to_owned(),
            _ => return Err(format!("POST /games was answered with {answer:?}").into()),
        };
        let [connection] = self
            .connections(WARM)
            .try_into()
            .map_err(|connections: Vec<_>| {
                format!("one connection was expected, not {}", connections.len())
            })?;
        let proof = format!(
            "201 and a saved game, {} ms after the process began, {} ms of them init; \
             1 connection, flights {:?}",
            answered.as_millis(),
            initialized.as_millis(),
            connection.flights,
        );
        Ok((Started { lambda, id }, proof))
    }

    /// Requests of each kind use the connection of the cold start, and only for their statement.
    pub(crate) async fn warm(
        &self,
        started: Option<&mut Started>,
    ) -> Result<((), String), Box<dyn Error>> {
        let Started { lambda, id } = started.ok_or("there is no Lambda, the cold start failed")?;
        let before = self.flights()?.len();
        let mut slowest = Duration::ZERO;
        let start = Instant::now();
        for n in 0..INVOCATIONS {
            let (event, status) = match n % 3 {
                0 => (event("POST", "/games", None), 201),
                1 => (event("GET", &format!("/games/{id}"), None), 200),
                _ => (event("GET", "/games?limit=3", None), 200),
            };
            let start = Instant::now();
            let answer = lambda.invoke(event).await?;
            slowest = slowest.max(start.elapsed());
            if answer.status != status {
                return Err(format!("{status} was expected, not {answer:?}").into());
            }
        }
        let average = start.elapsed() / u32::try_from(INVOCATIONS)?;
        let flights = self.flights()?.split_off(before);
        // Closing a statement is told to the server along the way; nobody waits for the answer.
        let statements = flights.iter().filter(|flight| *flight != "CS").count();
        let Some(of_checkouts @ 0) = statements.checked_sub(INVOCATIONS) else {
            return Err(format!("{INVOCATIONS} flights were expected, not {flights:?}").into());
        };
        let proof = format!(
            "{INVOCATIONS} statements in {statements} flights on the same connection, so round \
             trips of the checkout: {of_checkouts}; {} us on average, {} us at most",
            average.as_micros(),
            slowest.as_micros(),
        );
        Ok(((), proof))
    }

    /// IAM refuses the connection, and the caller hears of it at once instead of at a timeout.
    pub(crate) async fn denied(&self) -> Result<((), String), Box<dyn Error>> {
        let stranger = self.cluster.identity("no-permission", &[]);
        let mut lambda = self.lambda(DENIED, &stranger).await?;
        lambda.initialized().await?;
        let connects = self.connections(DENIED).len();
        let start = Instant::now();
        let answer = lambda.invoke(event("POST", "/games", None)).await?;
        let time = start.elapsed();
        let connects = self.connections(DENIED).len() - connects;
        if (answer.status, &answer.body["reason"]) != (503, &json!("not_authorized")) {
            return Err(format!("503, not_authorized was expected, not {answer:?}").into());
        }
        if connects != 1 {
            return Err(
                format!("the invocation connected {connects} times instead of once").into(),
            );
        }
        let cause = lambda.logged(cause_of_failure).await;
        if !(cause.contains(stranger.arn()) && cause.contains("perform: dsql:DbConnect ")) {
            return Err(format!("the log does not name who lacks which action: {cause}").into());
        }
        let proof = format!(
            "503 not_authorized after 1 connect, in {} ms of the function's {} ms; its log names \
             {} and the missing dsql:DbConnect",
            time.as_millis(),
            Lambda::TIMEOUT.as_millis(),
            stranger.arn(),
        );
        Ok(((), proof))
    }

    /// Lambda takes the environment away.
    pub(crate) async fn shut_down(
        &self,
        started: Option<Started>,
    ) -> Result<((), String), Box<dyn Error>> {
        let started = started.ok_or("there is no Lambda, the cold start failed")?;
        let start = Instant::now();
        let status = started.lambda.shut_down().await?;
        let time = start.elapsed();
        if status.code() != Some(0) {
            return Err(format!("the function ended with {status}").into());
        }
        // What the process sent last may still be on its way to the cluster's book.
        while self
            .connections(WARM)
            .iter()
            .any(|log| log.outcome == Outcome::Open)
        {
            sleep(Duration::from_millis(1)).await;
        }
        let last = self.flights()?.pop();
        if last.as_deref() != Some("X") {
            return Err(format!("the connection ended without a goodbye, after {last:?}").into());
        }
        let proof = format!(
            "drained: the connection said goodbye, exit 0 in {} ms of Lambda's {} ms",
            time.as_millis(),
            Lambda::GRACE.as_millis(),
        );
        Ok(((), proof))
    }

    /// Starts a Lambda whose connections carry a name.
    async fn lambda(&self, name: &str, identity: &Identity) -> Result<Lambda, Box<dyn Error>> {
        let mut command = self
            .environment
            .command(&self.binaries.generate_game, identity);
        command
            .env("DSQL_USER", "game")
            .env("DSQL_SEARCH_PATH", "games")
            .env("DSQL_APPLICATION_NAME", name);
        Lambda::start(command, self.echo).await
    }

    /// Returns what the cluster saw of the connections of this name.
    fn connections(&self, name: &str) -> Vec<ConnectionLog> {
        let mut connections = self.cluster.connections();
        connections.retain(|connection| connection.application_name.as_deref() == Some(name));
        connections
    }

    /// Returns the flights of the one connection that the warm Lambda is to have.
    fn flights(&self) -> Result<Vec<String>, String> {
        match <[ConnectionLog; 1]>::try_from(self.connections(WARM)) {
            Ok([connection]) => Ok(connection.flights),
            Err(more) => Err(format!("one connection was expected, not {}", more.len())),
        }
    }
}

/// A Lambda that answered, and the game that it saved.
pub(crate) struct Started {
    lambda: Lambda,
    id: String,
}

/// Reads the cause out of the line that the function logs for a failed request.
fn cause_of_failure(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line.get("message")? != "request failed" {
        return None;
    }
    line.get("error")?.as_str().map(str::to_owned)
}

/// The application name of the Lambda that works.
const WARM: &str = "demo-warm";

/// The application name of the Lambda without permission.
const DENIED: &str = "demo-denied";

const INVOCATIONS: usize = 10;
