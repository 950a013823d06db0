//! Applies migrations to an Aurora DSQL cluster.

mod arguments;
mod command;
mod print;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::Arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match command::run(&arguments).await {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("dsql-migrate: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
