//! A client that repeats a request that may have been applied.

use std::time::{Duration, Instant};

use dsql_local::{Direction, Fault};
use serde_json::json;
use tokio::time::sleep;

use super::{Life, Outcome, expect, text};
use crate::event::post_once;
use crate::step::Proof;

impl Life {
    /// A game whose response was lost is saved once, although the function and its client retry.
    pub(crate) async fn lost_answer(&self) -> Outcome<()> {
        let mut lambda = self.lambda(NAME, &self.function, &[]).await?;
        lambda.initialized().await?;
        let body = json!({ "title": TITLE }).to_string();
        let request = || post_once("demo-1", &body);

        let (unanswered, ()) = tokio::join!(lambda.invoke(request()), self.lose_answers());
        let unanswered = unanswered?;
        let refusal = expect(&unanswered, 503)?;
        let reason = text(&refusal, "reason")?;
        let retry_after = unanswered.header("retry-after");
        let (Some(retry_after), true) = (retry_after, reason == "outcome_unknown") else {
            return Err(format!("a retryable error was expected, not {unanswered:?}").into());
        };
        let start = Instant::now();
        let answer = lambda.invoke(request()).await?;
        let answered = start.elapsed();
        let game = expect(&answer, 201)?;
        if answer.header("idempotency-replayed") != Some("true") {
            return Err(format!("the same game was expected, not {answer:?}").into());
        }

        let sql = format!("SELECT id::text FROM games.games WHERE title = '{TITLE}'");
        let rows = self.cluster.query(&sql).await?;
        if rows != [[Some(text(&game, "id")?.to_owned())]] {
            return Err(format!("answered {game}, but the cluster has {rows:?}").into());
        }
        let proof = Proof {
            words: format!(
                "the cluster saved the game, and its replies to {LOST} attempts were lost: 503 \
                 {reason} with Retry-After: {retry_after}; the request repeated with the same \
                 Idempotency-Key: 201 with that game in {} ms, {} row saved",
                answered.as_millis(),
                rows.len(),
            ),
            numbers: json!({
                "lost_answers": LOST,
                "status": 503,
                "reason": reason,
                "answered_ms": answered.as_millis(),
                "rows": rows.len(),
            }),
        };
        Ok(((), proof))
    }

    /// Lets the cluster apply statements, and cuts the connection before it replies.
    async fn lose_answers(&self) {
        let lost = Fault::delay(Direction::ToClient, FOREVER);
        for struck in 0..LOST {
            self.cluster.inject(lost.clone());
            // PostgreSQL sends nothing before it has applied the statement.
            while self.cluster.struck(&lost) == struck {
                sleep(Duration::from_millis(1)).await;
            }
            self.cluster.cut_all();
        }
    }
}

const NAME: &str = "demo-lost-answer";

const TITLE: &str = "Lost answer";

/// The number of the function's attempts.
const LOST: u64 = 4;

/// Longer than until the connection is cut.
const FOREVER: Duration = Duration::from_secs(3_600);
