//! A Region of the cluster that fails and comes back.

use std::time::{Duration, Instant};

use dsql_local::{Effect, Fault, LocalCluster, Outcome as Fate, Stage};
use serde_json::json;
use tokio::time::sleep;

use super::{Life, Outcome, expect};
use crate::event::{get, post};
use crate::step::Proof;

impl Life {
    /// No invocation fails while one of the Regions answers.
    pub(crate) async fn region(&self) -> Outcome<()> {
        let home = &self.cluster;
        let peer = home.peer().ok_or("the cluster has one Region")?;
        let address = peer.address();
        let settings = [
            ("DSQL_PEER_ENDPOINT", peer.endpoint()),
            ("DSQL_PEER_HOSTADDR", &address.ip().to_string()),
            ("DSQL_PEER_PORT", &address.port().to_string()),
        ];
        let mut lambda = self.lambda(NAME, &self.function, &settings).await?;
        lambda.initialized().await?;
        expect(&lambda.invoke(post("/games", "")).await?, 201)?;
        if (logins(home), logins(peer)) != (1, 0) {
            return Err("the home Region does not serve first".into());
        }

        home.inject(Fault::at(Stage::Accept, Effect::Reset).always());
        home.reset_all();
        let start = Instant::now();
        expect(&lambda.invoke(post("/games", "")).await?, 201)?;
        let left = start.elapsed();
        if logins(peer) != 1 {
            return Err("the peer Region does not serve".into());
        }

        home.clear_faults();
        let start = Instant::now();
        let mut invocations = 0;
        // The pool tries the home Region again every few seconds, beside an invocation.
        while logins(home) == 1 {
            expect(&lambda.invoke(get("/games")).await?, 200)?;
            invocations += 1;
            sleep(BETWEEN).await;
        }
        let found = start.elapsed();
        peer.inject(Fault::at(Stage::Accept, Effect::Reset).always());
        peer.reset_all();
        expect(&lambda.invoke(post("/games", "")).await?, 201)?;
        peer.clear_faults();
        if logins(home) != 3 {
            return Err("the home Region does not serve again".into());
        }
        let proof = Proof {
            words: format!(
                "{} refused everything: the next invocation was answered 201 from {} in {} ms; \
                 its return was noticed {} ms later, during {invocations} invocations; then {} \
                 refused everything: 201 from {} again",
                home.region(),
                peer.region(),
                left.as_millis(),
                found.as_millis(),
                peer.region(),
                home.region(),
            ),
            numbers: json!({
                "failover_ms": left.as_millis(),
                "return_ms": found.as_millis(),
                "invocations": invocations + 3,
                "failed_invocations": 0,
            }),
        };
        Ok(((), proof))
    }
}

/// The connections of this step's function that a Region accepted.
fn logins(region: &LocalCluster) -> usize {
    let connections = region.connections();
    let is_it = |name: &Option<String>| name.as_deref() == Some(NAME);
    let of_this = connections
        .iter()
        .filter(|connection| is_it(&connection.application_name));
    of_this
        .filter(|connection| !matches!(connection.outcome, Fate::Refused(_)))
        .count()
}

const NAME: &str = "demo-region";

/// The time between two invocations.
const BETWEEN: Duration = Duration::from_millis(100);
