//! A fresh process's first row through `dsql-conn`, as its README begins.

use std::error::Error;

use dsql_conn::{Config, Pool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = Pool::lambda(Config::from_env()?);
    let row = pool.get().await?.query_one("SELECT 1", &[]).await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
