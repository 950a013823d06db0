//! Commits whose reply is lost, settled by the function's outcome table.

use std::time::Instant;

use dsql_local::{Fault, Late};
use serde_json::json;

use super::{Life, Outcome, expect, text};
use crate::event::post;
use crate::step::Proof;

impl Life {
    /// A game whose `COMMIT` lost its reply is saved once, without an error and without an
    /// Idempotency-Key.
    pub(crate) async fn lost_commit(&self) -> Outcome<()> {
        let mut lambda = self.lambda(NAME, &self.function, &[]).await?;
        lambda.initialized().await?;
        let lost = [
            (APPLIED, Fault::lose_commit_reply()),
            // After the statement that settles it, and the next one.
            (LATE, Fault::deliver_commit_late(Late::ByStatements(2))),
        ];
        let mut times = Vec::new();
        for (title, fault) in &lost {
            self.cluster.inject(fault.clone());
            let start = Instant::now();
            let answer = lambda
                .invoke(post("/games", &json!({ "title": title }).to_string()))
                .await?;
            times.push(start.elapsed().as_millis());
            let game = expect(&answer, 201)?;
            let sql = format!("SELECT id::text FROM games.games WHERE title = '{title}'");
            let rows = self.cluster.query(&sql).await?;
            if rows != [[Some(text(&game, "id")?.to_owned())]] {
                return Err(format!("answered {game}, but the cluster has {rows:?}").into());
            }
        }
        let tombstones = "SELECT id FROM games.outcomes WHERE NOT committed";
        let tombstones = self.cluster.query(tombstones).await?.len();
        if tombstones != 1 {
            return Err(format!("one tombstone was expected, not {tombstones}").into());
        }
        let proof = Proof {
            words: format!(
                "the cluster applied a COMMIT and its reply was lost: found in the outcome table, \
                 201 in {} ms; the network delivered another COMMIT late: a tombstone kept it \
                 from being applied, the transaction ran again, 201 in {} ms; each game saved once",
                times[0], times[1],
            ),
            numbers: json!({
                "lost_commits": lost.len(),
                "tombstones": tombstones,
                "answered_ms": times,
                "failed_invocations": 0,
            }),
        };
        Ok(((), proof))
    }
}

const NAME: &str = "demo-lost-commit";
const APPLIED: &str = "Lost reply";
const LATE: &str = "Late commit";
