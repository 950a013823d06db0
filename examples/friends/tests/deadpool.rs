//! A pool of deadpool.

use dsql_conn::DeadpoolManager;
use dsql_conn::deadpool::managed::Pool;

#[tokio::test]
async fn deadpool_keeps_connections_that_run_transactions() {
    let (cluster, config) = guide::cluster().await.unwrap();
    let manager = DeadpoolManager::new(config);
    let pool: Pool<DeadpoolManager> = Pool::builder(manager).max_size(2).build().unwrap();

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
