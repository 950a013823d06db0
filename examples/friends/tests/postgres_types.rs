//! Types of the application as parameters and columns, derived by `postgres-types`.

use dsql_conn::Pool;
use postgres_types::{FromSql, ToSql};

/// A column of type `text`.
#[derive(Debug, Clone, PartialEq, Eq, ToSql, FromSql)]
#[postgres(transparent)]
struct Title(String);

/// A column of type `int4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSql, FromSql)]
#[postgres(transparent)]
struct Players(i32);

#[tokio::test]
async fn derived_types_are_parameters_and_columns() {
    let (_cluster, config) = guide::cluster().await.unwrap();
    let pool = Pool::connect(config).await.unwrap();
    let mut connection = pool.get().await.unwrap();
    let create = "CREATE TABLE games (title text PRIMARY KEY, players int NOT NULL)";
    connection.execute_ddl(create).await.unwrap();

    let chess = (Title("chess".to_owned()), Players(2));
    let insert = "INSERT INTO games VALUES ($1, $2)";
    connection
        .execute(insert, &[&chess.0, &chess.1])
        .await
        .unwrap();
    let select = "SELECT title, players FROM games WHERE players = $1";
    let row = connection.query_one(select, &[&chess.1]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), chess);
}
