//! Transactions whose reply to `COMMIT` is lost.

use dsql_conn::{Error, Outcomes, Pool, RetryPolicy};
use dsql_local::{Effect, Fault, LocalCluster, Stage};

use crate::support::cluster_with_pool;

const OUTCOMES: Outcomes = Outcomes::table("outcomes");

/// A cluster with an outcome table, and its pool.
pub(crate) async fn cluster_with_outcomes() -> (LocalCluster, Pool) {
    let (cluster, pool) = cluster_with_pool().await;
    let create = OUTCOMES.create_table();
    let connection = pool.get().await.unwrap();
    connection.batch_execute(&create).await.unwrap();
    drop(connection);
    (cluster, pool)
}

/// Loses two replies that the outcome table settles: one as committed, one as rolled back.
pub(crate) async fn settle(cluster: &LocalCluster, pool: &Pool) {
    let settled = RetryPolicy::new().outcomes(OUTCOMES);
    cluster.inject(Fault::lose_commit_reply());
    insert(pool, settled).await.unwrap();
    cluster.inject(Fault::at(Stage::Commit, Effect::Cut));
    insert(pool, settled).await.unwrap();
}

/// Loses a reply without an outcome table.
pub(crate) async fn leave_unknown(cluster: &LocalCluster, pool: &Pool) -> Error {
    cluster.inject(Fault::lose_commit_reply());
    insert(pool, RetryPolicy::new()).await.unwrap_err()
}

async fn insert(pool: &Pool, policy: RetryPolicy) -> Result<u64, Error> {
    let insert = "INSERT INTO note VALUES (gen_random_uuid()::text)";
    pool.transaction_with(policy, async |tx| tx.execute(insert, &[]).await)
        .await
}
