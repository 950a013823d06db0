//! `dsql-local exec -- COMMAND`: a cluster for as long as a command runs.

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
    /// The command and its arguments. It finds the cluster by the variables of `serve`, has a token
    /// in PGPASSWORD, and resolves the endpoint's name.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(arguments: &Exec) -> Result<ExitCode, Error> {
    // The terminal sends Ctrl-C to the command, too, which decides what it means.
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
    let mut engine_told = false;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status?)),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => forward_terminate(&child),
            log = cluster.engine_ended(), if !engine_told => {
                engine_told = true;
                eprintln!("dsql-local: {}", Error::Engine(log));
            }
        }
    }
}

/// Signs for a week: the command may run for long, and libpq cannot sign.
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
        // It may have ended meanwhile.
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// Returns what a shell would return.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// How the command resolves the endpoint's name. libpq does not need to: it has PGHOSTADDR.
struct Resolution {
    /// A line of `/etc/hosts`, to be removed.
    line: Option<String>,
}

impl Resolution {
    fn set(cluster: &LocalCluster, hosts: &Path, command: &mut Command) -> Result<Self, Error> {
        if let Some(wrapper) = nss_wrapper() {
            // Stands between the program and the resolver of the C library.
            let mut preload = wrapper.into_os_string();
            if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty())
            {
                preload.push(":");
                preload.push(others);
            }
            command
                .env("LD_PRELOAD", preload)
                .env("NSS_WRAPPER_HOSTS", hosts);
            return Ok(Self { line: None });
        }
        let line = format!("{} # dsql-local exec\n", hosts_line(cluster));
        if append(HOSTS, &line) {
            return Ok(Self { line: Some(line) });
        }
        let mut java = std::env::var_os("JAVA_TOOL_OPTIONS").unwrap_or_default();
        java.push(" -Djdk.net.hosts.file=");
        java.push(hosts);
        command.env("JAVA_TOOL_OPTIONS", java);
        eprintln!(
            "dsql-local: only libpq (PGHOSTADDR) and Java find the endpoint by themselves; for others install \
             libnss-wrapper, or add to /etc/hosts: {}",
            hosts_line(cluster)
        );
        Ok(Self { line: None })
    }
}

impl Drop for Resolution {
    fn drop(&mut self) {
        if let Some(line) = &self.line
            && let Ok(text) = fs::read_to_string(HOSTS)
            // In place: in a container the file is a mount, which cannot be replaced.
            && let Err(error) = fs::write(HOSTS, text.replace(line, ""))
        {
            eprintln!("dsql-local: {HOSTS}: {error}");
        }
    }
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
