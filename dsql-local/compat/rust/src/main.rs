//! AWS's connector for sqlx: a table, a row and a conflict, with verified TLS.

use std::env::var;

use aurora_dsql_sqlx_connector::pool;
use sqlx::{Connection, Executor};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = format!("postgres://admin@{}:{}/postgres", var("PGHOST")?, var("PGPORT")?);
    let pool = pool::connect(&url).await?;
    pool.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)").await?;
    sqlx::query("INSERT INTO notes VALUES ($1, $2)")
        .bind(1)
        .bind("first")
        .execute(&pool)
        .await?;
    let note: String = sqlx::query_scalar("SELECT note FROM notes WHERE id = $1")
        .bind(1)
        .fetch_one(&pool)
        .await?;
    assert_eq!(note, "first");
    let (mut one, mut two) = (pool.acquire().await?, pool.acquire().await?);
    let (mut first, mut second) = (one.begin().await?, two.begin().await?);
    first.execute("UPDATE notes SET note = 'one'").await?;
    second.execute("UPDATE notes SET note = 'two'").await?;
    first.commit().await?;
    let conflict = second.commit().await.err().ok_or("the second writer got no error")?;
    let code = conflict.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("40001"), "{conflict}");
    Ok(())
}
