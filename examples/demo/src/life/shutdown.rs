//! The end of an execution environment.

use std::time::{Duration, Instant};

use dsql_local::Outcome as Fate;
use serde_json::json;
use tokio::time::sleep;

use super::{Life, Outcome, Started, WARM};
use crate::lambda::Lambda;
use crate::step::Proof;

impl Life {
    /// Lambda takes the environment away.
    pub(crate) async fn shut_down(&self, started: Option<Started>) -> Outcome<()> {
        let started = started.ok_or("there is no Lambda, the cold start failed")?;
        let start = Instant::now();
        let status = started.lambda.shut_down().await?;
        let time = start.elapsed();
        if status.code() != Some(0) {
            return Err(format!("the function ended with {status}").into());
        }
        // What the process sent last may still be on its way to the cluster's book.
        while self.connection(WARM)?.outcome == Fate::Open {
            sleep(Duration::from_millis(1)).await;
        }
        let last = self.connection(WARM)?.flights.pop();
        if last.as_deref() != Some("X") {
            return Err(format!("the connection ended without a goodbye, after {last:?}").into());
        }
        let proof = Proof {
            words: format!(
                "drained: the connection said goodbye, exit 0 in {} ms of Lambda's {} ms",
                time.as_millis(),
                Lambda::GRACE.as_millis(),
            ),
            numbers: json!({ "exit_code": 0, "drained_ms": time.as_millis() }),
        };
        Ok(((), proof))
    }
}
