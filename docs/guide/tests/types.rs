//! Types of columns that other crates bring.

use dsql_conn::Pool;
use serde_json::json;
use uuid::Uuid;

#[tokio::test]
async fn column_types_of_own_dependencies_are_read_and_written() {
    let (_cluster, config) = guide::cluster().await.unwrap();
    let pool = Pool::connect(config).await.unwrap();
    let mut connection = pool.get().await.unwrap();
    let create = "CREATE TABLE games (id uuid PRIMARY KEY, rules jsonb)";
    connection.execute_ddl(create).await.unwrap();

    let (id, rules) = (Uuid::new_v4(), json!({"players": 2}));
    let insert = "INSERT INTO games VALUES ($1, $2) RETURNING id, rules";
    let row = connection.query_one(insert, &[&id, &rules]).await.unwrap();
    assert_eq!(row.get::<_, Uuid>(0), id);
    assert_eq!(row.get::<_, serde_json::Value>(1), rules);
}
