//! A statement that conflicts with another transaction.

use dsql_local::{Fault, Refusal};
use serde_json::json;

use super::{Life, Outcome, Started, WARM, expect, text};
use crate::event::post;
use crate::step::Proof;

impl Life {
    /// A conflict does not fail the invocation, and nothing is saved twice.
    pub(crate) async fn conflict(&self, started: Option<&mut Started>) -> Outcome<()> {
        let lambda = &mut Started::or_missing(started)?.lambda;
        let before = self.connection(WARM)?.flights.len();
        let conflicts = [Refusal::Conflict, Refusal::SchemaChanged];
        let refused = || {
            let counts = self.cluster.counts();
            counts.refused(|refusal| conflicts.contains(refusal))
        };
        let refused_before = refused();
        for conflict in &conflicts {
            self.cluster.inject(Fault::refuse(conflict.clone()));
        }

        let body = format!(r#"{{"title":"{TITLE}"}}"#);
        let answer = lambda.invoke(post("/games", &body)).await?;

        let saved = expect(&answer, 201)?;
        let sql = format!("SELECT id::text FROM games.games WHERE title = '{TITLE}'");
        let rows = self.cluster.query(&sql).await?;
        if rows != [[Some(text(&saved, "id")?.to_owned())]] {
            return Err(format!("answered {saved}, but the cluster has {rows:?}").into());
        }
        let flights = self.connection(WARM)?.flights.split_off(before);
        let conflicts = refused() - refused_before;
        // One request for each attempt; the last one has the outcome and COMMIT, too.
        if (conflicts, flights.len()) != (2, 5) {
            return Err(format!("2 conflicts were expected, not {conflicts}: {flights:?}").into());
        }
        let proof = Proof {
            words: format!(
                "the statement met 40001 {conflicts} times (OC000, OC001), was retried on the \
                 same connection, and answered 201; 1 row saved"
            ),
            numbers: json!({
                "conflicts": conflicts, "flights": flights.len(), "rows": rows.len(),
            }),
        };
        Ok(((), proof))
    }
}

const TITLE: &str = "Conflict";
