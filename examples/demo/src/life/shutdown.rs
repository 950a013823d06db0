//! The end of an execution environment.

use std::time::{Duration, Instant};

use dsql_local::{Effect, Fault, Outcome as Fate, Stage};
use serde_json::json;
use tokio::time::sleep;

use super::{Life, Outcome, Started, WARM, expect, text};
use crate::event::get;
use crate::lambda::Lambda;
use crate::step::Proof;

impl Life {
    /// Lambda ends the environment.
    pub(crate) async fn shut_down(&self, started: Option<Started>) -> Outcome<()> {
        let started = started.ok_or("there is no Lambda, the cold start failed")?;
        let start = Instant::now();
        let status = started.lambda.shut_down().await?;
        let time = start.elapsed();
        if status.code() != Some(0) {
            return Err(format!("the function ended with {status}").into());
        }
        // The last messages may reach the cluster later.
        while self.connection(WARM)?.outcome == Fate::Open {
            sleep(Duration::from_millis(1)).await;
        }
        let last = self.connection(WARM)?.flights.pop();
        if last.as_deref() != Some("X") {
            return Err(format!("the connection ended without Terminate, after {last:?}").into());
        }
        let proof = Proof {
            words: format!(
                "drained: the connection sent Terminate, exit 0 in {} ms of Lambda's {} ms",
                time.as_millis(),
                Lambda::GRACE.as_millis(),
            ),
            numbers: json!({ "exit_code": 0, "drained_ms": time.as_millis() }),
        };
        Ok(((), proof))
    }

    /// Lambda ends the environment after a freeze, with a statement whose reply never comes.
    pub(crate) async fn shut_down_stalled(&self) -> Outcome<()> {
        let mut lambda = self.lambda("demo-stalled", &self.function, &[]).await?;
        lambda.initialized().await?;
        self.cluster
            .inject(Fault::at(Stage::Statement, Effect::Stall));
        let answer = lambda.invoke_within(get("/games"), LIMIT).await?;
        let reason = expect(&answer, 503)?;
        if text(&reason, "reason")? != "no_answer" {
            return Err(format!("no_answer was expected, not {reason}").into());
        }

        lambda.freeze().await?;
        sleep(FREEZE).await;
        lambda.thaw()?;
        let start = Instant::now();
        let status = lambda.shut_down().await?;
        let time = start.elapsed();
        self.cluster.release();
        if status.code() != Some(0) {
            return Err(format!("the function ended with {status}").into());
        }
        let proof = Proof {
            words: format!(
                "a statement without a reply timed out before the function's limit of {} ms: 503 \
                 no_answer; SIGTERM after a freeze of {} ms: exit 0 in {} ms of Lambda's {} ms",
                LIMIT.as_millis(),
                FREEZE.as_millis(),
                time.as_millis(),
                Lambda::GRACE.as_millis(),
            ),
            numbers: json!({ "exit_code": 0, "drained_ms": time.as_millis() }),
        };
        Ok(((), proof))
    }
}

/// The function's own limit for a response.
const LIMIT: Duration = Duration::from_millis(800);

const FREEZE: Duration = Duration::from_millis(500);
