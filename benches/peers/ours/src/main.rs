//! A fresh process's first row through `dsql-conn`.
//!
//! `typed` (the default) is the way of the least round trips, `readme` what the README begins with, `transaction` one statement
//! in a transaction.

use std::{env, error::Error};

use dsql_conn::{Config, Pool, tokio_postgres::types::Type};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = Pool::lambda(Config::from_env()?);
    let way = env::args().nth(1);
    let row = match way.as_deref().unwrap_or("typed") {
        "typed" => {
            let connection = pool.get().await?;
            connection
                .query_typed_one("SELECT $1", &[(&1, Type::INT4)])
                .await?
        }
        "readme" => pool.get().await?.query_one("SELECT 1", &[]).await?,
        "transaction" => {
            pool.transaction(async |tx| Ok(tx.query_one("SELECT 1", &[]).await?))
                .await?
        }
        other => return Err(format!("{other} is none of typed, readme, transaction").into()),
    };
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
