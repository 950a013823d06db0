//! A connection past its maximum lifetime, which the service would end after 60 minutes.

use std::time::{Duration, Instant};

use dsql_local::ConnectionLog;
use serde_json::json;
use tokio::time::sleep;

use super::{Life, Outcome, expect};
use crate::event::post;
use crate::step::Proof;

impl Life {
    /// An expired connection is replaced before it is checked out.
    pub(crate) async fn lifetime(&self) -> Outcome<()> {
        let seconds = LIFETIME.as_secs().to_string();
        let settings = [("DSQL_MAX_LIFETIME_SECONDS", seconds.as_str())];
        let mut lambda = self.lambda(NAME, &self.function, &settings).await?;
        lambda.initialized().await?;
        expect(&lambda.invoke(post("/games", "")).await?, 201)?;

        sleep(LIFETIME).await;
        let start = Instant::now();
        let answer = lambda.invoke(post("/games", "")).await?;
        let answered = start.elapsed();
        expect(&answer, 201)?;

        // Its Terminate may reach the cluster later.
        let used = loop {
            let mut used = self.connections(NAME);
            used.retain(|connection| statements(connection) > 0);
            if used.first().is_some_and(sent_terminate) {
                break used;
            }
            sleep(Duration::from_millis(1)).await;
        };
        let counts: Vec<_> = used.iter().map(statements).collect();
        // A POST has three: BEGIN with the insert, the outcome, and COMMIT.
        if counts != [3, 3] {
            return Err(format!("2 connections for 1 POST each were expected: {used:?}").into());
        }
        let proof = Proof {
            words: format!(
                "{} s after the first invocation its connection was past its lifetime: it was \
                 closed by Terminate, and the next invocation was answered 201 in {} ms on \
                 another",
                LIFETIME.as_secs(),
                answered.as_millis(),
            ),
            numbers: json!({
                "lifetime_ms": LIFETIME.as_millis(),
                "answered_ms": answered.as_millis(),
                "connections": used.len(),
                "failed_invocations": 0,
            }),
        };
        Ok(((), proof))
    }
}

fn statements(connection: &ConnectionLog) -> usize {
    let flights = connection.flights.iter();
    flights.filter(|flight| *flight != "X").count()
}

fn sent_terminate(connection: &ConnectionLog) -> bool {
    connection
        .flights
        .last()
        .is_some_and(|flight| flight == "X")
}

const NAME: &str = "demo-lifetime";

/// In production it is 55 minutes.
const LIFETIME: Duration = Duration::from_secs(1);
