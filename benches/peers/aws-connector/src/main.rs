//! The first row of a new process through AWS's connector for sqlx, by its pool.
//!
//! It connects to the name that it verifies, so the name must resolve. `PGSSLROOTCERT` is the
//! certification authority.

use std::env;
use std::error::Error;

use aurora_dsql_sqlx_connector::pool;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = (env::var("DSQL_ENDPOINT")?, env::var("DSQL_PORT")?);
    let pool = pool::connect(&format!("postgres://admin@{host}:{port}/postgres")).await?;
    let number: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&pool).await?;
    println!("{number}");
    Ok(())
}
