//! `dsql-local`: a cluster for people, with psql or any driver.
//! It prints what they need to connect, and signs tokens for those without an AWS SDK.

use std::env::VarError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Parser, Subcommand};
use dsql_local::{Action, Identity, LocalCluster, SchemaConflicts, StartError, sign};
use tokio::signal::unix::{SignalKind, signal};

/// A local cluster that speaks and refuses like Amazon Aurora DSQL, in front of a real PostgreSQL.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a cluster and print how to reach it; runs until Ctrl-C (the default).
    Serve(Serve),
    /// Print a token, signed with the variables that `serve` prints.
    Token(Token),
}

#[derive(Debug, Args)]
struct Serve {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Region in the endpoint's name.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Which definitions fail statements of other sessions (OC001): off, realistic or every.
    #[arg(long, default_value = "realistic")]
    schema_conflicts: SchemaConflicts,
}

#[derive(Debug, Args)]
struct Token {
    /// Database user to connect as: `admin` takes another action than the others.
    #[arg(long, default_value = "admin")]
    user: String,
    /// Seconds for which the token opens connections.
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    expires: u64,
    /// Seconds by which the signing clock is ahead, or, with a minus, behind: for a token of the future, or
    /// an expired one.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    clock_offset: i32,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve(&cli.serve),
        Some(Command::Serve(arguments)) => serve(&arguments),
        Some(Command::Token(arguments)) => token(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dsql-local: {error}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(arguments: &Serve) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let starting = LocalCluster::builder()
        .port(arguments.port)
        .region(&arguments.region)
        .schema_conflicts(arguments.schema_conflicts)
        .start();
    let cluster = tokio::select! {
        started = starting => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    introduce(&cluster)?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Prints the variables, the file that has them too, and a line for psql.
fn introduce(cluster: &LocalCluster) -> Result<(), Error> {
    let ca_file = cluster.folder().join("ca.pem");
    let env_file = cluster.folder().join("env.sh");
    let exports = exports(cluster, &ca_file);
    write_file(&ca_file, cluster.ca_pem())?;
    write_file(&env_file, &exports)?;
    let program = std::env::current_exe()?;
    let mut out = io::stdout().lock();
    write!(
        out,
        "{exports}\n\
         # Or, in another shell:\n\
         source {env_file}\n\
         PGPASSWORD=\"$({program} token)\" psql \"host={host} hostaddr={address} port={port} user=admin \
         dbname=postgres sslmode=verify-full sslrootcert={ca_file}\"\n",
        env_file = quoted(&env_file.display().to_string()),
        program = quoted(&program.display().to_string()),
        host = cluster.endpoint(),
        address = cluster.address().ip(),
        port = cluster.address().port(),
        ca_file = ca_file.display(),
    )?;
    Ok(out.flush()?)
}

fn exports(cluster: &LocalCluster, ca_file: &Path) -> String {
    let admin = cluster.admin();
    [
        ("DSQL_ENDPOINT", cluster.endpoint()),
        ("DSQL_HOSTADDR", &cluster.address().ip().to_string()),
        ("DSQL_PORT", &cluster.address().port().to_string()),
        ("DSQL_CA_FILE", &ca_file.display().to_string()),
        ("AWS_REGION", cluster.region()),
        ("AWS_ACCESS_KEY_ID", admin.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", admin.secret_access_key()),
        (
            "AWS_SESSION_TOKEN",
            admin.session_token().unwrap_or_default(),
        ),
    ]
    .map(|(name, value)| format!("export {name}={}\n", quoted(value)))
    .concat()
}

fn token(arguments: &Token) -> Result<(), Error> {
    let identity = Identity::new(
        "",
        variable("AWS_ACCESS_KEY_ID")?,
        variable("AWS_SECRET_ACCESS_KEY")?,
        std::env::var("AWS_SESSION_TOKEN")
            .ok()
            .filter(|token| !token.is_empty()),
    );
    let token = sign(
        &identity,
        &variable("DSQL_ENDPOINT")?,
        &variable("AWS_REGION")?,
        Action::for_user(&arguments.user),
        signing_time(arguments.clock_offset),
        Duration::from_secs(arguments.expires),
    );
    Ok(writeln!(io::stdout(), "{token}")?)
}

fn signing_time(clock_offset: i32) -> SystemTime {
    let by = Duration::from_secs(clock_offset.unsigned_abs().into());
    match clock_offset < 0 {
        true => SystemTime::now() - by,
        false => SystemTime::now() + by,
    }
}

fn variable(name: &'static str) -> Result<String, Error> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(value),
        Ok(_) | Err(VarError::NotPresent) => Err(Error::Missing(name)),
        Err(VarError::NotUnicode(_)) => Err(Error::NotText(name)),
    }
}

fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// Quotes for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0} is not set; `source` the file that `dsql-local` prints the name of")]
    Missing(&'static str),
    #[error("{0} is not UTF-8")]
    NotText(&'static str),
    #[error("could not write {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_shell_reads_what_was_quoted(values in prop::collection::vec(prop_oneof!["['\"$`\\\\!*~ \n]{0,9}", "[^\0]{0,20}"], 1..20)) {
            let words: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            let shell = std::process::Command::new("sh")
                .args(["-c", &format!("printf '%s\\0' {}", words.join(" "))])
                .output()
                .unwrap();
            let expected: String = values.iter().map(|value| format!("{value}\0")).collect();
            prop_assert_eq!(String::from_utf8(shell.stdout).unwrap(), expected);
        }
    }
}
