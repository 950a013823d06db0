//! `dsql-local exec -- COMMAND`: a cluster that runs while a command runs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, SystemTime};

use clap::Args;
use dsql_local::{Action, LocalCluster, sign};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::Error;
use crate::cluster::ClusterOptions;
use crate::environment::{Files, hosts_line};

#[derive(Debug, Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    options: ClusterOptions,
    /// The command and its arguments. Its environment has the variables of `serve` and a token in
    /// PGPASSWORD, and the endpoint's name resolves.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(arguments: &Exec) -> Result<ExitCode, Error> {
    // The terminal sends Ctrl-C to the command as well, which decides how to react.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let cluster = tokio::select! {
        started = arguments.options.start() => started?,
        _ = interrupt.recv() => return Ok(ExitCode::FAILURE),
        _ = terminate.recv() => return Ok(ExitCode::FAILURE),
    };
    let files = Files::write(&cluster, cluster.folder())?;
    let program = &arguments.command[0];
    let mut command = Command::new(program);
    command
        .args(&arguments.command[1..])
        .envs(files.all(&cluster))
        .env("PGPASSWORD", token(&cluster))
        .env_remove("AWS_PROFILE");
    let _resolution = Resolution::set(&cluster, &files.hosts, &mut command)?;
    let mut child = command.spawn().map_err(|source| Error::Command {
        program: program.to_string_lossy().into_owned(),
        source,
    })?;
    let mut engine_reported = false;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => forward_terminate(&child),
            log = cluster.engine_ended(), if !engine_reported => {
                engine_reported = true;
                eprintln!("dsql-local: {}", Error::Engine(log));
            }
        }
    }
}

/// Signs for a week: the command may take long, and libpq cannot sign again.
fn token(cluster: &LocalCluster) -> String {
    sign(
        cluster.admin(),
        cluster.endpoint(),
        cluster.region(),
        Action::DbConnectAdmin,
        SystemTime::now(),
        Duration::from_secs(604_800),
    )
}

fn forward_terminate(child: &tokio::process::Child) {
    let pid = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Fails if the command ended in the meantime.
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Returns the exit code that a shell would return.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// How the command resolves the endpoint's name. libpq reads PGHOSTADDR instead.
struct Resolution {
    /// The line to remove from `/etc/hosts`.
    line: Option<String>,
}

impl Resolution {
    fn set(cluster: &LocalCluster, hosts: &Path, command: &mut Command) -> Result<Self, Error> {
        if let Some(wrapper) = nss_wrapper() {
            // Replaces the resolver of the C library.
            let mut preload = wrapper.into_os_string();
            if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty())
            {
                preload.push(":");
                preload.push(others);
            }
            // Go resolves names itself, unless it is told to use the C library.
            let mut go = std::env::var_os("GODEBUG").unwrap_or_default();
            go.push(if go.is_empty() {
                "netdns=cgo"
            } else {
                ",netdns=cgo"
            });
            command
                .env("LD_PRELOAD", preload)
                .env("NSS_WRAPPER_HOSTS", hosts)
                .env("GODEBUG", go);
            return Ok(Self { line: None });
        }
        let line = format!("{} {MARK} {}\n", hosts_line(cluster), std::process::id());
        remove_stale_lines();
        if append(HOSTS, &line) {
            return Ok(Self { line: Some(line) });
        }
        let mut java = std::env::var_os("JAVA_TOOL_OPTIONS").unwrap_or_default();
        java.push(" -Djdk.net.hosts.file=");
        java.push(hosts);
        command.env("JAVA_TOOL_OPTIONS", java);
        eprintln!(
            "dsql-local: only libpq (PGHOSTADDR) and Java can resolve the endpoint; for other \
             clients install libnss-wrapper, or add to /etc/hosts: {}",
            hosts_line(cluster)
        );
        Ok(Self { line: None })
    }
}

impl Drop for Resolution {
    fn drop(&mut self) {
        if let Some(line) = &self.line
            && let Ok(text) = fs::read_to_string(HOSTS)
            // Written in place: in a container the file is a mount, which cannot be replaced.
            && let Err(error) = fs::write(HOSTS, text.replace(line, ""))
        {
            eprintln!("dsql-local: {HOSTS}: {error}");
        }
    }
}

/// Removes the lines of processes that no longer exist: a killed process could not remove its own.
fn remove_stale_lines() {
    let Ok(text) = fs::read_to_string(HOSTS) else {
        return;
    };
    let rest = without_lines(&text, |pid| {
        rustix::process::Pid::from_raw(pid).is_some_and(|pid| {
            rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
        })
    });
    if rest != text {
        // Without permission the lines stay, and do no harm: their endpoints are never used again.
        let _denied = fs::write(HOSTS, rest);
    }
}

/// Returns the text without the lines of `exec` whose process is not alive.
fn without_lines(text: &str, is_alive: impl Fn(i32) -> bool) -> String {
    text.split_inclusive('\n')
        .filter(|line| {
            let pid = line.split_once(MARK).map(|(_, pid)| pid.trim().parse());
            !matches!(pid, Some(Ok(pid)) if !is_alive(pid))
        })
        .collect()
}

fn append(path: &str, line: &str) -> bool {
    use std::io::Write;

    let file = fs::OpenOptions::new().append(true).open(path);
    file.is_ok_and(|mut file| file.write_all(line.as_bytes()).is_ok())
}

fn nss_wrapper() -> Option<PathBuf> {
    let multiarch = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    multiarch
        .chain(["/usr/lib", "/usr/lib64"].map(PathBuf::from))
        .map(|folder| folder.join("libnss_wrapper.so"))
        .find(|library| library.exists())
}

const HOSTS: &str = "/etc/hosts";
/// Precedes the process ID in a line of `exec`.
const MARK: &str = "# dsql-local exec";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_dead_processes_are_removed() {
        let hosts = "127.0.0.1 localhost\n127.0.0.1 a # dsql-local exec 1\n\
                     127.0.0.1 b # dsql-local exec 2\n127.0.0.1 c # dsql-local exec\n# x";
        let rest = without_lines(hosts, |pid| pid == 2);
        assert_eq!(rest, hosts.replace("127.0.0.1 a # dsql-local exec 1\n", ""));
    }
}
