//! The first one-statement transaction of a new process through `dsql-conn`.

use std::env;
use std::error::Error;

use dsql_conn::{Config, Pool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_early = env::args().any(|argument| argument == "--password-in-startup-flight");
    let config = Config::from_env()?.password_in_startup_flight(is_early);
    let pool = Pool::lambda(config).build();
    let row = pool
        .transaction(async |tx| Ok(tx.query_one("SELECT 1", &[]).await?))
        .await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
