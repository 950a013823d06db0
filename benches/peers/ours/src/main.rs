//! The first row of a new process through `dsql-conn`, with the fewest round trips.

use std::env;
use std::error::Error;

use dsql_conn::tokio_postgres::types::Type;
use dsql_conn::{Config, Pool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_early = env::args().any(|argument| argument == "--password-in-startup-flight");
    let config = Config::from_env()?.password_in_startup_flight(is_early);
    let pool = Pool::lambda(config).build();
    let connection = pool.get().await?;
    let row = connection
        .query_typed_one("SELECT $1", &[(&1, Type::INT4)])
        .await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
