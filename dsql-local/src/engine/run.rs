//! The engine's process. It starts on a copy of the template, and ends when its owner drops it or
//! when this process ends. Its temporary files are removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use super::error::EngineError;
use super::find::Installation;
use super::owner::Owner;

/// A PostgreSQL that listens on a socket in its own folder.
#[derive(Debug)]
pub(super) struct Running {
    keeper: Child,
    /// The keeper's standard input. It closes when this process ends, even by SIGKILL, which ends
    /// the engine.
    lifeline: Option<ChildStdin>,
    folder: PathBuf,
    data: PathBuf,
}

impl Running {
    /// Starts the engine and waits until it accepts connections. Blocks.
    pub(super) fn start(
        installation: &Installation,
        owner: &Owner,
        template: &Path,
        data_dir: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let (folder, data) = match data_dir {
            None => {
                let folder = owner.folder(&owner.data_dir(), PREFIX)?;
                let data = folder.path().join("data");
                (folder, data)
            }
            Some(data_dir) => {
                let data = prepare(data_dir, owner, template)?;
                (owner.folder(&owner.temp_dir(), PREFIX)?, data)
            }
        };
        let mut keeper = owner.command("/bin/sh");
        keeper
            .args(["-c", KEEPER, "dsql-local-keeper"])
            .arg(folder.path())
            .arg(template)
            .arg(&data)
            // Temporary data needs no orderly shutdown.
            .arg(if data_dir.is_some() { "INT" } else { "QUIT" })
            .arg(installation.program("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path());
        for setting in SETTINGS {
            keeper.args(["-c", setting]);
        }
        if data_dir.is_none() {
            for setting in TEMPORARY {
                keeper.args(["-c", setting]);
            }
        }
        keeper.args(["-c", &format!("lock_timeout={LOCK_TIMEOUT}")]);
        let mut keeper = keeper
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut running = Self {
            lifeline: keeper.stdin.take(),
            keeper,
            folder: folder.keep(),
            data,
        };
        running.wait_until_ready()?;
        Ok(running)
    }

    pub(super) fn socket_directory(&self) -> &Path {
        &self.folder
    }

    /// Returns the end of the engine's log.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        let end = log.len().saturating_sub(LONGEST_LOG);
        String::from_utf8_lossy(&log[end..]).into_owned()
    }

    fn wait_until_ready(&mut self) -> Result<(), EngineError> {
        let pid_file = self.data.join("postmaster.pid");
        let give_up = Instant::now() + START_DEADLINE;
        loop {
            if is_ready(&fs::read_to_string(&pid_file).unwrap_or_default()) {
                return Ok(());
            }
            let log = self.log();
            let ended = self.keeper.try_wait()?.is_some();
            if ended || log.contains("FATAL:") || Instant::now() > give_up {
                return Err(EngineError::Program {
                    program: "postgres",
                    output: log,
                });
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        if let Err(error) = self.keeper.wait() {
            tracing::warn!(%error, "could not wait for the engine's keeper");
        }
    }
}

/// Prepares the data folder, and returns the engine's directory in it.
fn prepare(data_dir: &Path, owner: &Owner, template: &Path) -> Result<PathBuf, EngineError> {
    let expected = template
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stamp = data_dir.join("version");
    let data = data_dir.join("data");
    fs::create_dir_all(data_dir)?;
    owner.take(data_dir)?;
    match fs::read_to_string(&stamp) {
        Ok(found) if found == expected => {}
        Ok(found) => {
            return Err(EngineError::OtherData {
                folder: data_dir.to_owned(),
                found,
                expected,
            });
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::write(&stamp, expected)?;
        }
        Err(error) => return Err(error.into()),
    }
    let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(pid) = pid.lines().next().and_then(|pid| pid.trim().parse().ok())
        && is_alive(pid)
    {
        return Err(EngineError::InUse(data_dir.to_owned()));
    }
    Ok(data)
}

/// Returns whether a process exists, of any user.
fn is_alive(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid).is_some_and(|pid| {
        !matches!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH)
        )
    })
}

/// Returns whether a `postmaster.pid` reports that the engine is ready. The file grows line by
/// line; its last line is the status.
fn is_ready(status: &str) -> bool {
    status
        .lines()
        .nth(7)
        .is_some_and(|line| line.trim() == "ready")
}

/// Part of the socket's name. The engine does not listen on TCP.
pub(super) const PORT: u16 = 5432;
/// How long a session waits for another transaction's lock. `conflict` then moves that transaction
/// aside.
const LOCK_TIMEOUT: &str = "10ms";
const START_DEADLINE: Duration = Duration::from_secs(60);

const PREFIX: &str = "dsql-local-";
const LONGEST_LOG: usize = 4_096;

/// Copies the template and runs the engine. Ends it when standard input closes, and ends itself
/// when the engine ended.
///
/// The signal is repeated until the engine ended: a shell starts background jobs with SIGINT
/// ignored, so a signal is lost that arrives before the engine installed its handlers. The keeper
/// itself ignores signals: it must remove the folder after the engine ended.
const KEEPER: &str = r#"
folder=$1 template=$2 data=$3 signal=$4; shift 4
trap : HUP INT TERM
if [ -e "$data/PG_VERSION" ] || cp -Rp "$template" "$data"; then
    "$@" </dev/null >"$folder/log" 2>&1 & engine=$!
    cat >/dev/null
    (while kill -$signal $engine; do sleep 1; done) </dev/null 2>/dev/null & signaller=$!
    while kill -0 $engine; do wait $engine; done 2>/dev/null
    kill $signaller
fi
rm -rf "$folder"
"#;

/// Settings for data that need not survive a crash of the machine. A commit that writes its log
/// itself, but does not sync it, is faster than one that wakes the process which does.
const TEMPORARY: &[&str] = &["fsync=off", "full_page_writes=off", "synchronous_commit=on"];

const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "restart_after_crash=off",
    "unix_socket_permissions=0700",
    "max_connections=1200",
    "shared_buffers=32MB",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_logical_replication_workers=0",
    "max_wal_size=256MB",
    "dynamic_shared_memory_type=mmap",
    "max_parallel_workers_per_gather=0",
    "jit=off",
    "timezone=UTC",
    "log_timezone=UTC",
    "default_transaction_isolation=repeatable read",
    "deadlock_timeout=10ms",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{inputs, mutated, walk};

    #[test]
    fn an_engine_is_ready_when_its_complete_file_says_so() {
        for (name, status) in inputs("postmaster") {
            let status = String::from_utf8(status).unwrap();
            assert_eq!(is_ready(&status), name == "ready.pid");
            let whole = status.trim_end().len();
            assert!((0..whole).all(|end| !is_ready(&status[..end])), "{name}");
        }
    }

    #[test]
    fn mutations_of_the_corpus_never_panic() {
        walk("postmaster", |status| {
            let _ready = is_ready(&String::from_utf8_lossy(status));
        });
    }

    proptest! {
        #[test]
        fn no_mutated_input_panics(status in mutated("postmaster")) {
            let status = String::from_utf8_lossy(&status);
            prop_assert!(!is_ready(&status) || status.lines().count() > 7);
        }
    }
}
