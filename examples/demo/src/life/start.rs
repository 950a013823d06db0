//! The cold start, and what later invocations rely on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Life, Outcome, WARM, expect, text};
use crate::event::{get, post};
use crate::lambda::Lambda;
use crate::step::Proof;

/// A Lambda after its first response, and the game that it saved.
pub(crate) struct Started {
    pub(crate) lambda: Lambda,
    pub(crate) game: Value,
}

impl Started {
    /// Returns the environment of the cold start, for the next steps.
    pub(crate) fn or_missing(started: Option<&mut Self>) -> Result<&mut Self, &'static str> {
        started.ok_or("there is no Lambda, the cold start failed")
    }

    /// Returns the path of the game.
    pub(crate) fn path(&self) -> Result<String, String> {
        Ok(format!("/games/{}", text(&self.game, "id")?))
    }
}

impl Life {
    /// From the start of the process to the first saved game.
    pub(crate) async fn cold_start(&self) -> Outcome<Started> {
        let start = Instant::now();
        let mut lambda = self.lambda(WARM, &self.function, &[]).await?;
        lambda.initialized().await?;
        let initialized = start.elapsed();
        let answer = lambda.invoke(post("/games", r#"{"title":"Demo"}"#)).await?;
        let answered = start.elapsed();

        let game = expect(&answer, 201)?;
        let flights = self.connection(WARM)?.flights;
        let proof = Proof {
            words: format!(
                "201 and a saved game, {} ms after the process began, {} ms of them init; \
                 1 connection, flights {flights:?}",
                answered.as_millis(),
                initialized.as_millis(),
            ),
            numbers: json!({
                "init_ms": initialized.as_millis(),
                "answered_ms": answered.as_millis(),
                "connections": 1,
                "flights": flights,
            }),
        };
        Ok((Started { lambda, game }, proof))
    }

    /// Requests of each kind use the connection of the cold start, one statement each.
    pub(crate) async fn warm(&self, started: Option<&mut Started>) -> Outcome<()> {
        let started = Started::or_missing(started)?;
        let find = started.path()?;
        let before = self.connection(WARM)?;
        let mut slowest = Duration::ZERO;
        let mut request_id = String::new();
        let start = Instant::now();
        for n in 0..INVOCATIONS {
            let (event, status) = match n % 3 {
                0 => (post("/games", ""), 201),
                1 => (get(&find), 200),
                _ => (get("/games?limit=3"), 200),
            };
            request_id = text(&event["requestContext"], "requestId")?.to_owned();
            let start = Instant::now();
            let answer = started.lambda.invoke(event).await?;
            slowest = slowest.max(start.elapsed());
            expect(&answer, status)?;
        }
        let average = start.elapsed() / u32::try_from(INVOCATIONS)?;
        let line = started.lambda.logged(|line| answered(line, &request_id));
        let line = line.await;
        if (&line["route"], &line["status"], &line["attempts"])
            != (&json!("createGame"), &json!(201), &json!(1))
        {
            return Err(format!("the log's line of the request is {line}").into());
        }
        let mut after = self.connection(WARM)?;
        let flights = after.flights.split_off(before.flights.len());
        // `Close` of a statement goes with the next message; nobody waits for its reply.
        let requests = flights.iter().filter(|flight| *flight != "CS").count();
        // The outcome of a POST travels with its COMMIT.
        let statements = requests - (after.pipelined - before.pipelined);
        let expected = INVOCATIONS + INVOCATIONS.div_ceil(3);
        let Some(of_checkouts @ 0) = statements.checked_sub(expected) else {
            return Err(format!("{expected} round trips were expected, not {flights:?}").into());
        };
        let proof = Proof {
            words: format!(
                "{INVOCATIONS} requests in {statements} round trips on the same connection: one \
                 for a read, two for a write, {of_checkouts} for checkouts; {} us on average, \
                 {} us at most; one log line each, with the gateway's request ID",
                average.as_micros(),
                slowest.as_micros(),
            ),
            numbers: json!({
                "invocations": INVOCATIONS,
                "flights": statements,
                "checkout_round_trips": of_checkouts,
                "average_us": average.as_micros(),
                "slowest_us": slowest.as_micros(),
            }),
        };
        Ok(((), proof))
    }
}

/// Reads the log line of the request.
fn answered(line: &str, request_id: &str) -> Option<Value> {
    let line: Value = serde_json::from_str(line).ok()?;
    let is_it = line["message"] == "request answered" && line["request_id"] == request_id;
    is_it.then_some(line)
}

const INVOCATIONS: usize = 10;
