//! The first program of the guide; `start.md` repeats it.

use std::time::Duration;

use dsql_conn::{Config, Pool};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::connect(Config::from_env()?).await?;

    let create = "CREATE TABLE IF NOT EXISTS games (title text PRIMARY KEY, copies int NOT NULL)";
    pool.get().await?.execute_ddl(create).await?;

    let (title, copies) = ("chess", 2);
    pool.transaction(async |tx| {
        let insert = "INSERT INTO games VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(insert, &[&title, &copies]).await
    })
    .await?;

    let games = "SELECT title, copies FROM games";
    for row in pool.get().await?.query(games, &[]).await? {
        let (title, copies): (String, i32) = (row.try_get(0)?, row.try_get(1)?);
        println!("{title}: {copies} copies");
    }
    pool.close(Duration::from_secs(5)).await;
    Ok(())
}
