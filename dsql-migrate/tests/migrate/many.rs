//! Many migrators at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dsql_local::{LocalCluster, SchemaConflicts};
use dsql_migrate::Outcome;
use tokio::task::JoinSet;

use crate::support::{STATEMENTS, expected, left, shop};

/// Runs migrators at once, and checks that each statement was applied by one of them.
async fn at_once(cluster: LocalCluster, migrators: usize) {
    let cluster = Arc::new(cluster);
    let mut runs = JoinSet::new();
    for _ in 0..migrators {
        let cluster = Arc::clone(&cluster);
        // No migrator dies, and the machine may be slow.
        let migrator = shop().takeover_after(Duration::from_secs(600));
        runs.spawn(async move { migrator.up(&*cluster).await });
    }
    let mut applied = BTreeMap::new();
    for run in runs.join_all().await {
        let report = run.unwrap_or_else(|error| panic!("{}", error.chain()));
        assert_eq!(report.steps.len(), STATEMENTS);
        for step in report.steps {
            let by = usize::from(step.outcome == Outcome::Applied);
            *applied.entry(step.place.to_string()).or_insert(0) += by;
        }
    }
    assert!(applied.values().all(|by| *by == 1), "{applied:?}");
    assert_eq!(left(&cluster).await, expected());
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_migrators_apply_each_statement_once() {
    at_once(LocalCluster::start().await.unwrap(), 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrators_survive_that_every_change_fails_all_others() {
    let builder = LocalCluster::builder().schema_conflicts(SchemaConflicts::Every);
    at_once(builder.start().await.unwrap(), 10).await;
}
