//! A fresh process's first row through `dsql-conn`, by the way of the least round trips.

use std::error::Error;

use dsql_conn::{Config, Pool, tokio_postgres::types::Type};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = Pool::lambda(Config::from_env()?);
    let connection = pool.get().await?;
    let row = connection
        .query_typed_one("SELECT $1", &[(&1, Type::INT4)])
        .await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
