//! A pool of bb8.

use dsql_conn::{ConnectionManager, bb8};

#[tokio::test]
async fn bb8_keeps_connections_that_run_transactions() {
    let (cluster, config) = guide::cluster().await.unwrap();
    let manager = ConnectionManager::new(config);
    let pool = bb8::Pool::builder().max_size(2).build(manager);
    let pool = pool.await.unwrap();

    let mut connection = pool.get().await.unwrap();
    let create = "CREATE TABLE games (title text PRIMARY KEY)";
    connection.execute_ddl(create).await.unwrap();
    drop(connection);
    for title in ["chess", "go"] {
        let mut connection = pool.get().await.unwrap();
        let insert = "INSERT INTO games VALUES ($1)";
        let inserted = connection.transaction(async |tx| tx.execute(insert, &[&title]).await);
        assert_eq!(inserted.await.unwrap(), 1);
    }
    assert_eq!(cluster.counts().logins, 1);
}
