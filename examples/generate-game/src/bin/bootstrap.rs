//! Prepares the cluster for the Lambda, as its admin, at deploy time: prints what it did.

use std::error::Error;
use std::process::ExitCode;

use dsql_conn::Config;
use generate_game::bootstrap::{Grantee, bootstrap};
use generate_game::log::chain;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bootstrap failed: {}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let grantee = Grantee::from_env()?;
    let connection = Config::from_env()?.connect().await?;
    for step in bootstrap(&connection, &grantee).await? {
        println!("{step}");
    }
    Ok(())
}
