//! Statements that sea-query builds, with their values as parameters.

use dsql_conn::Pool;
use sea_query::{Expr, ExprTrait, Iden, Order, PostgresQueryBuilder, Query};
use sea_query_postgres::PostgresBinder;
use uuid::Uuid;

#[derive(Iden)]
enum Games {
    Table,
    Id,
    Title,
}

#[tokio::test]
async fn statements_of_sea_query_run_in_a_transaction() {
    let (_cluster, config) = guide::cluster().await.unwrap();
    let pool = Pool::connect(config).await.unwrap();
    let create = "CREATE TABLE games (id uuid PRIMARY KEY, title text NOT NULL)";
    pool.get().await.unwrap().execute_ddl(create).await.unwrap();

    let (insert, values) = Query::insert()
        .into_table(Games::Table)
        .columns([Games::Id, Games::Title])
        .values_panic([Uuid::new_v4().into(), "chess".into()])
        .values_panic([Uuid::new_v4().into(), "go".into()])
        .build_postgres(PostgresQueryBuilder);
    let inserted = pool.transaction(async |tx| tx.execute(&insert, &values.as_params()).await);
    assert_eq!(inserted.await.unwrap(), 2);

    let (select, values) = Query::select()
        .column(Games::Title)
        .from(Games::Table)
        .and_where(Expr::col(Games::Title).like("ch%"))
        .order_by(Games::Title, Order::Asc)
        .build_postgres(PostgresQueryBuilder);
    let connection = pool.get().await.unwrap();
    let rows = connection
        .query(&select, &values.as_params())
        .await
        .unwrap();
    let titles: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(titles, ["chess"]);
}
