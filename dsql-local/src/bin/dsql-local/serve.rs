//! `dsql-local serve`: a cluster that runs until Ctrl-C.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use dsql_local::LocalCluster;
use tokio::signal::unix::{SignalKind, signal};

use crate::Error;
use crate::cluster::ClusterOptions;
use crate::environment::{Files, exports, hosts_line, quoted, write_file};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    options: ClusterOptions,
    /// File with the variables, which exists while clients can connect.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(arguments: &Serve) -> Result<(), Error> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cluster = tokio::select! {
        started = arguments.options.start() => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    let folder = arguments
        .options
        .data
        .as_deref()
        .unwrap_or_else(|| cluster.folder());
    let files = Files::write(&cluster, &std::path::absolute(folder)?)?;
    files.write_env(&cluster)?;
    introduce(&cluster, &files)?;
    let ready = match &arguments.ready_file {
        Some(path) => Some(ReadyFile::write(path, &exports(&files.all(&cluster)))?),
        None => None,
    };
    let ended = tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        log = cluster.engine_ended() => Err(Error::Engine(log)),
    };
    drop(ready);
    ended
}

/// Prints the variables, the path of `env.sh`, and a line for psql.
fn introduce(cluster: &LocalCluster, files: &Files) -> Result<(), Error> {
    let program = std::env::current_exe()?;
    let mut out = io::stdout().lock();
    write!(
        out,
        "{exports}\n\
         # The administrator, for AWS IAM GRANT: {arn}\n\
         # For /etc/hosts: {hosts_line}\n\
         # Or, in another shell:\n\
         source {env_file}\n\
         PGPASSWORD=\"$({program} token)\" psql \"host={host} hostaddr={address} port={port} \
         user=admin dbname=postgres sslmode=verify-full sslrootcert={ca_file}\"\n",
        exports = exports(&files.printed(cluster)),
        arn = cluster.admin().arn(),
        hosts_line = hosts_line(cluster),
        env_file = quoted(&files.env.display().to_string()),
        program = quoted(&program.display().to_string()),
        host = cluster.endpoint(),
        address = cluster.address().ip(),
        port = cluster.address().port(),
        ca_file = files.ca().display(),
    )?;
    Ok(out.flush()?)
}

/// A file that exists while clients can connect.
struct ReadyFile<'a> {
    path: &'a PathBuf,
}

impl<'a> ReadyFile<'a> {
    /// Writes another file and renames it, so that readers never see a part.
    fn write(path: &'a PathBuf, text: &str) -> Result<Self, Error> {
        let mut aside = path.clone().into_os_string();
        aside.push(".part");
        let aside = PathBuf::from(aside);
        write_file(&aside, text)?;
        std::fs::rename(&aside, path).map_err(|source| Error::File {
            path: path.clone(),
            source,
        })?;
        Ok(Self { path })
    }
}

impl Drop for ReadyFile<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(self.path) {
            eprintln!("dsql-local: {}: {error}", self.path.display());
        }
    }
}
