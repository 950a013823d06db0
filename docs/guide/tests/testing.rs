//! The tests that `testing.md` shows, which repeats this file.

use std::error::Error;

use dsql_conn::{Config, Pool};
use dsql_local::{Fault, LocalCluster};

/// The function under test: sells a copy, and returns how many are left.
async fn sell(pool: &Pool, title: &str) -> Result<i32, dsql_conn::Error> {
    let update = "UPDATE games SET copies = copies - 1 WHERE title = $1 RETURNING copies";
    pool.transaction(async |tx| Ok(tx.query_one(update, &[&title]).await?.try_get(0)?))
        .await
}

/// Starts a cluster with two copies of chess. It stops when it is dropped.
async fn shop() -> Result<(LocalCluster, Pool), Box<dyn Error>> {
    let cluster = LocalCluster::start().await?;
    let pool = Pool::connect(Config::from_variables(cluster.variables())?).await?;
    let create = "CREATE TABLE games (title text PRIMARY KEY, copies int NOT NULL)";
    pool.get().await?.execute_ddl(create).await?;
    let insert = "INSERT INTO games VALUES ('chess', 2)";
    pool.get().await?.execute(insert, &[]).await?;
    Ok((cluster, pool))
}

#[tokio::test]
async fn a_sale_survives_conflicts() -> Result<(), Box<dyn Error>> {
    let (cluster, pool) = shop().await?;
    cluster.inject(Fault::conflict_commits(2)); // The next two commits fail with OC000.

    assert_eq!(sell(&pool, "chess").await?, 1); // The third run was committed.
    assert_eq!(pool.stats().data_conflicts, 2);
    Ok(())
}

#[tokio::test]
async fn a_sale_whose_reply_is_lost_is_unknown() -> Result<(), Box<dyn Error>> {
    let (cluster, pool) = shop().await?;
    cluster.inject(Fault::lose_commit_reply());

    let lost = sell(&pool, "chess").await;
    assert!(matches!(lost, Err(dsql_conn::Error::CommitUnknown { .. })));

    // Reads PostgreSQL directly: no token, no rules of Aurora DSQL.
    let copies = cluster.query("SELECT copies FROM games").await?;
    assert_eq!(copies, [[Some("1".to_owned())]]); // It was committed.
    Ok(())
}
