//! The binary `dsql-local`: starts a cluster and prints how to connect, runs a command with a
//! cluster, and signs tokens for clients without an AWS SDK.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

mod cluster;
mod environment;
mod exec;
mod serve;
mod token;

/// A local cluster that behaves like Amazon Aurora DSQL, in front of a real PostgreSQL 16.
///
/// PostgreSQL 16 is taken from this machine, or fetched once by npm. The variable DSQL_LOCAL_PG_BIN
/// names the folder of another installation's `postgres` and `initdb`; `DSQL_LOCAL_PG_BIN=fetch`
/// always fetches.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster and print how to connect; runs until Ctrl-C (the default).
    Serve(serve::Serve),
    /// Start a cluster, run a command that can connect to it, and exit with the command's code.
    Exec(exec::Exec),
    /// Print a token, signed with the variables that `serve` prints.
    Token(token::Token),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .without_time()
        .init();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = Cli::try_parse_from(&arguments)
        .or_else(|error| match subcommand_first(arguments, &error) {
            Some(arguments) => Cli::try_parse_from(arguments),
            None => Err(error),
        })
        .unwrap_or_else(|error| error.exit());
    let done = match cli.command {
        None => serve::run(&cli.serve).map(|()| ExitCode::SUCCESS),
        Some(Command::Serve(arguments)) => serve::run(&arguments).map(|()| ExitCode::SUCCESS),
        Some(Command::Exec(arguments)) => exec::run(&arguments),
        Some(Command::Token(arguments)) => token::run(&arguments).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(|error| {
        eprintln!("dsql-local: {error}");
        ExitCode::FAILURE
    })
}

/// Moves the subcommand before its options, if they were given before it. Without a subcommand, the
/// options are those of `serve`.
fn subcommand_first(mut arguments: Vec<OsString>, error: &clap::Error) -> Option<Vec<OsString>> {
    let Some(ContextValue::String(subcommand)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let place = arguments.iter().position(|it| it == subcommand.as_str())?;
    arguments.get_mut(1..=place)?.rotate_right(1);
    (error.kind() == ErrorKind::ArgumentConflict).then_some(arguments)
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Start(#[from] dsql_local::StartError),
    #[error(transparent)]
    Script(#[from] dsql_local::ScriptError),
    #[error("{0}")]
    Control(String),
    #[error("the engine ended by itself; the end of its log:\n{0}")]
    Engine(String),
    #[error("{0} is not set; `source` the file that `dsql-local` prints the name of")]
    Missing(&'static str),
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    #[error("could not use {}: {source}", .path.display())]
    File {
        path: std::path::PathBuf,
        source: std::io::Error,
    },
    #[error("could not run {program}: {source}")]
    Command {
        program: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
