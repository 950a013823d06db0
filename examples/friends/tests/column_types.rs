//! Types of other crates as columns. The features of tokio-postgres turn them on: in your own
//! `Cargo.toml`, because all crates of a program share one tokio-postgres 0.7.
//!
//! ```toml
//! [dependencies.tokio-postgres]
//! version = "0.7"
//! features = ["with-chrono-0_4", "with-serde_json-1", "with-uuid-1"]
//! ```

use chrono::{DateTime, Utc};
use dsql_conn::Pool;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn columns_have_the_types_of_other_crates() {
    let (_cluster, config) = guide::cluster().await.unwrap();
    let pool = Pool::connect(config).await.unwrap();
    let mut connection = pool.get().await.unwrap();
    let create = "CREATE TABLE games (id uuid PRIMARY KEY, at timestamptz, rules jsonb)";
    connection.execute_ddl(create).await.unwrap();

    let at = DateTime::<Utc>::from_timestamp(1_764_244_800, 0).unwrap();
    let (id, rules) = (Uuid::new_v4(), json!({ "players": 2 }));
    let insert = "INSERT INTO games VALUES ($1, $2, $3)";
    connection
        .execute(insert, &[&id, &at, &rules])
        .await
        .unwrap();
    let row = connection.query_one("SELECT id, at, rules FROM games", &[]);
    let row = row.await.unwrap();
    assert_eq!(row.get::<_, Uuid>("id"), id);
    assert_eq!(row.get::<_, DateTime<Utc>>("at"), at);
    assert_eq!(row.get::<_, Value>("rules"), rules);
}
