//! The first row of a new process through `dsql-conn`, as in its README.

use std::env;
use std::error::Error;

use dsql_conn::{Config, Pool};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_early = env::args().any(|argument| argument == "--password-in-startup-flight");
    let config = Config::from_env()?.password_in_startup_flight(is_early);
    let pool = Pool::lambda(config).build();
    let row = pool.get().await?.query_one("SELECT 1", &[]).await?;
    println!("{}", row.try_get::<_, i32>(0)?);
    Ok(())
}
