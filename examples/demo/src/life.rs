//! The steps of the demo.

mod bootstrap;
mod conflict;
mod connecting;
mod freeze;
mod lifetime;
mod lost_commit;
mod region;
mod repeat;
mod requests;
mod shutdown;
mod start;

use std::error::Error;

use dsql_local::{ConnectionLog, Identity, LocalCluster};
use serde_json::Value;
pub(crate) use start::Started;

use crate::binaries::Binaries;
use crate::environment::Environment;
use crate::event::Answer;
use crate::lambda::Lambda;
use crate::step::Proof;

/// What the steps share.
pub(crate) struct Life {
    pub(crate) binaries: Binaries,
    pub(crate) environment: Environment,
    pub(crate) function: Identity,
    pub(crate) cluster: LocalCluster,
    pub(crate) echo: bool,
}

/// A step's result and proof, or its error.
pub(crate) type Outcome<T> = Result<(T, Proof), Box<dyn Error>>;

impl Life {
    /// Starts a Lambda whose connections have this name, with further settings.
    pub(crate) async fn lambda(
        &self,
        name: &str,
        identity: &Identity,
        settings: &[(&str, &str)],
    ) -> Result<Lambda, Box<dyn Error>> {
        let mut command = self
            .environment
            .command(&self.binaries.generate_game, identity);
        command
            .env("DSQL_USER", "game")
            .env("DSQL_SEARCH_PATH", "games")
            .env("DSQL_APPLICATION_NAME", name)
            .envs(settings.iter().copied());
        Lambda::start(command, self.echo).await
    }

    /// Returns the cluster's log of the connections with this name, the oldest first.
    fn connections(&self, name: &str) -> Vec<ConnectionLog> {
        let mut connections = self.cluster.connections();
        connections.retain(|connection| connection.application_name.as_deref() == Some(name));
        connections
    }

    /// Returns the only connection of the Lambda with this name.
    fn connection(&self, name: &str) -> Result<ConnectionLog, String> {
        match <[ConnectionLog; 1]>::try_from(self.connections(name)) {
            Ok([connection]) => Ok(connection),
            Err(more) => Err(format!("one connection was expected, not {}", more.len())),
        }
    }
}

/// Returns the body of a response, which must have this status.
fn expect(answer: &Answer, status: u16) -> Result<Value, String> {
    if answer.status != status {
        return Err(format!("{status} was expected, not {answer:?}"));
    }
    Ok(answer.json())
}

/// Returns a text field of a body.
fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, String> {
    body[field]
        .as_str()
        .ok_or_else(|| format!("{field} is no text in {body}"))
}

/// The application name of the Lambda that runs from the cold start to SIGTERM.
const WARM: &str = "demo-warm";
