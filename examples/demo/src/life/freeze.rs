//! A freeze between two invocations, during which the network drops the connection.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use super::{Life, Outcome, expect};
use crate::event::{get, post};
use crate::step::Proof;

impl Life {
    /// The invocation after the freeze is served, on a new connection.
    pub(crate) async fn freeze(&self) -> Outcome<()> {
        let settings = [("DSQL_PING_AFTER_SECONDS", "1")];
        let mut lambda = self.lambda(NAME, &self.function, &settings).await?;
        lambda.initialized().await?;
        expect(&lambda.invoke(post("/games", "")).await?, 201)?;
        self.connection(NAME)?;

        lambda.freeze().await?;
        self.cluster.black_hole_all();
        sleep(FROZEN).await;
        lambda.thaw()?;
        let thawed = Instant::now();
        let answer = lambda.invoke(post("/games", "")).await?;
        let first = thawed.elapsed();
        expect(&answer, 201)?;
        expect(&lambda.invoke(get("/games")).await?, 200)?;
        let connections = self.connections(NAME);
        // Lets the cluster close the abandoned socket.
        self.cluster.release();

        let [_lost, new] = connections.as_slice() else {
            return Err(format!("2 connections were expected, not {connections:?}").into());
        };
        // The POST has three requests, the GET one.
        if new.flights.len() != 4 {
            return Err(format!("4 requests were expected, not {:?}", new.flights).into());
        }
        let proof = Proof {
            words: format!(
                "after {} s of SIGSTOP and a dead network the next invocation was answered 201 in \
                 {} ms, on a connection opened beside the unanswered ping; the invocation after \
                 it used the same one; what SIGSTOP does not imitate: --help",
                FROZEN.as_secs(),
                first.as_millis(),
            ),
            numbers: json!({
                "frozen_ms": FROZEN.as_millis(),
                "answered_ms": first.as_millis(),
                "new_connections": connections.len() - 1,
                "failed_invocations": 0,
            }),
        };
        Ok(((), proof))
    }
}

const NAME: &str = "demo-freeze";

/// Longer than this function's connections may be idle without a ping.
const FROZEN: Duration = Duration::from_secs(2);
