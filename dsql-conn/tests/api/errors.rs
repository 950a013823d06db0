//! How errors read: `Display`, `Debug`, and through anyhow.

use std::time::Duration;

use dsql_conn::{Config, Error, Pool, RetryPolicy};
use dsql_local::{Effect, Fault, LocalCluster, Refusal, Stage};

use crate::checkout_errors::closed_port;
use crate::support::{builder, cluster_with_pool, config};

/// One error of each kind, caused in the same way as in a program.
async fn errors(cluster: &LocalCluster, cluster_with_pool: &Pool) -> Vec<Error> {
    let connection = cluster_with_pool.get().await.unwrap();
    let refused = connection.query("SELECT nothing", &[]).await.unwrap_err();
    let unfit = connection
        .query("SELECT $1::int", &[&1_i64])
        .await
        .unwrap_err();
    let short = connection.with_statement_timeout(Duration::from_millis(10));
    let late = short
        .batch_execute("SELECT pg_sleep(0.1)")
        .await
        .unwrap_err();
    let none_free = cluster_with_pool
        .get_until(std::time::UNIX_EPOCH)
        .await
        .unwrap_err();
    drop(connection);

    cluster.inject(Fault::lose_commit_reply());
    let unknown = cluster_with_pool
        .transaction(async |_| Ok(()))
        .await
        .unwrap_err();
    cluster.inject(Fault::conflict_commits(2));
    let policy = RetryPolicy::new().max_attempts(2);
    let conflict = cluster_with_pool.transaction_with(policy, async |_| Ok::<_, Error>(()));
    let conflict = conflict.await.unwrap_err();
    let swallowed = cluster_with_pool.transaction(async |tx| {
        let _ = tx.query("SELECT nothing", &[]).await;
        Ok(())
    });
    let rolled_back = swallowed.await.unwrap_err();

    cluster.inject(Fault::refuse(Refusal::NoSni));
    let sni = config(cluster).connect().await.unwrap_err();
    let stalled = builder(config(cluster))
        .checkout_timeout(Duration::from_millis(10))
        .build();
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    let not_open_yet = stalled.get().await.unwrap_err();
    let closed = config(cluster).port(closed_port());
    let closed = closed.connect_timeout(Duration::from_millis(100));
    let nobody_listens = closed.connect().await.unwrap_err();
    let setting = "postgres://somewhere/postgres"
        .parse::<Config>()
        .unwrap_err();
    vec![
        refused,
        unfit,
        late,
        none_free,
        unknown,
        conflict,
        rolled_back,
        sni,
        not_open_yet,
        nobody_listens,
        setting.into(),
    ]
}

#[tokio::test]
async fn errors_read_alike_in_display_debug_and_anyhow() {
    let (cluster, pool) = cluster_with_pool().await;
    let mut kinds = 0;
    for error in errors(&cluster, &pool).await {
        let (display, debug) = (error.to_string(), format!("{error:?}"));
        let below = debug
            .strip_prefix(&display)
            .unwrap_or_else(|| panic!("{debug}"));
        assert!(
            below.is_empty() || below.starts_with("\n\nCaused by:"),
            "{debug}"
        );
        let error = anyhow::Error::from(error);
        let mut said = String::new();
        for cause in error.chain() {
            let cause = cause.to_string();
            assert!(!said.contains(&cause), "said twice: {cause:?} in {error:#}");
            said.push_str(&cause);
        }
        // No clause appears twice.
        let line = format!("{error:#}");
        let mut clauses: Vec<_> = line.split(": ").filter(|it| it.len() > 12).collect();
        let all = clauses.len();
        clauses.sort_unstable();
        clauses.dedup();
        assert_eq!(clauses.len(), all, "{line}");
        kinds += 1;
    }
    assert_eq!(kinds, 11);
}
