//! The example Lambda, from the start of its process to its first response.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use benches::{Launch, Launcher, Relay, Site, deployed};
use dsql_local::{Action, Identity};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::observer::Observer;
use crate::runtime_api::RuntimeApi;
use crate::sample::Sample;

/// The Lambda's program, and a cluster with its schema.
pub(crate) struct Lambda {
    program: PathBuf,
    identity: Identity,
}

impl Lambda {
    /// Builds the program, and runs its bootstrap.
    pub(crate) fn deploy(runtime: &Runtime, site: &Site) -> Result<Self, Box<dyn Error>> {
        let identity = site.cluster.identity("game", &[Action::DbConnect]);
        let mut bootstrap = Command::new(deployed("generate-game", "bootstrap")?);
        site.furnish(&mut bootstrap, site.cluster.admin(), site.cluster.address());
        let output = bootstrap.env("GAME_ROLE_ARN", identity.arn()).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().into());
        }
        // A list of realistic length.
        let insert = "INSERT INTO games.games (title, genre, players, minutes)
             SELECT 'Go', 'strategy', 2, 60 FROM generate_series(1, 20)";
        runtime.block_on(site.cluster.query(insert))?;
        let program = deployed("generate-game", "generate-game")?;
        Ok(Self { program, identity })
    }

    /// Starts the function, and requests the list of games.
    pub(crate) fn run(
        &self,
        runtime: &Runtime,
        launcher: &Launcher,
        site: &Site,
        relay: &Relay,
    ) -> Result<Sample, Box<dyn Error>> {
        let observer = Observer::new(site, relay);
        let mut api = runtime.block_on(RuntimeApi::start())?;
        let address = api.address().to_string();
        let launch = Launch {
            program: &self.program,
            arguments: &[],
            looks_up: false,
            identity: &self.identity,
            address: relay.address(),
            group: None,
            goes_on: true,
        };
        let variables = [
            ("DSQL_USER", "game"),
            ("DSQL_SEARCH_PATH", "games"),
            ("AWS_LAMBDA_RUNTIME_API", &address),
            ("AWS_LAMBDA_FUNCTION_NAME", "generate-game"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/generate-game"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "bench"),
        ];
        let running = launcher.start(site, launch, &variables)?;
        let answer = runtime.block_on(async { timeout(PATIENCE, api.answer()).await });
        let took = running.end()?;
        let (answered, answer) = answer?.ok_or("the Runtime API ended")?;
        if answer["statusCode"] != 200 {
            return Err(format!("the function answered {answer}").into());
        }
        observer.sample(took, answered)
    }
}

/// Its name in the record.
pub(crate) const VARIANT: &str = "first invocation answered";
const PATIENCE: Duration = Duration::from_secs(10);
