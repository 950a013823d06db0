//! A fresh process's first transaction of one statement through `dsql-conn`.

use std::error::Error;

use dsql_conn::{Config, Pool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = Pool::lambda(Config::from_env()?);
    let row = pool
        .transaction(async |tx| tx.query_one("SELECT 1", &[]).await)
        .await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
