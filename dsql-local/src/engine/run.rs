//! The engine's process: started on a copy of the template, stopped with whoever holds it.
//! It dies with this process too, and takes its files along.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use super::find::Installation;
use super::owner::Owner;
use super::{EngineError, LOCK_TIMEOUT};

/// A PostgreSQL that listens on a socket in a folder of its own.
#[derive(Debug)]
pub(super) struct Running {
    keeper: Child,
    /// The keeper reads from it: the end of this process, however it comes, ends the engine.
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
        kept: Option<&Path>,
    ) -> Result<Self, EngineError> {
        let (folder, data) = match kept {
            None => {
                let folder = owner.folder(&owner.data_dir(), PREFIX)?;
                let data = folder.path().join("data");
                (folder, data)
            }
            Some(kept) => {
                let data = keep(kept, owner, template)?;
                (owner.folder(&owner.temp_dir(), PREFIX)?, data)
            }
        };
        let mut keeper = owner.command("/bin/sh");
        keeper
            .args(["-c", KEEPER, "dsql-local-keeper"])
            .arg(folder.path())
            .arg(template)
            .arg(&data)
            // Data that is thrown away needs no orderly end.
            .arg(if kept.is_some() { "INT" } else { "QUIT" })
            .arg(installation.program("postgres"))
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path());
        for setting in SETTINGS {
            keeper.args(["-c", setting]);
        }
        if kept.is_none() {
            for setting in THROWN_AWAY {
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

    /// Returns the end of what the engine logged.
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
            tracing::warn!(%error, "the engine's keeper was not waited for");
        }
    }
}

/// Prepares the folder of data that outlasts the engine, and returns the engine's part of it.
fn keep(kept: &Path, owner: &Owner, template: &Path) -> Result<PathBuf, EngineError> {
    let expected = template
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let stamp = kept.join("version");
    let data = kept.join("data");
    fs::create_dir_all(kept)?;
    owner.take(kept)?;
    match fs::read_to_string(&stamp) {
        Ok(found) if found == expected => {}
        Ok(found) => {
            return Err(EngineError::OtherData {
                folder: kept.to_owned(),
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
        return Err(EngineError::InUse(kept.to_owned()));
    }
    Ok(data)
}

/// Asks by a signal that does nothing. A process of another user's is alive, too.
fn is_alive(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid).is_some_and(|pid| {
        !matches!(
            rustix::process::test_kill_process(pid),
            Err(rustix::io::Errno::SRCH)
        )
    })
}

/// Reads a `postmaster.pid`, which grows line by line and ends with the status.
fn is_ready(status: &str) -> bool {
    status
        .lines()
        .nth(7)
        .is_some_and(|line| line.trim() == "ready")
}

/// The name of the socket; nothing listens on TCP.
pub(super) const PORT: u16 = 5432;
const START_DEADLINE: Duration = Duration::from_secs(60);

const PREFIX: &str = "dsql-local-";
const LONGEST_LOG: usize = 4_096;

/// Copies the template, runs the engine, and ends it when standard input does, or by itself when
/// the engine has ended.
///
/// The signal is repeated until the engine is gone: one that arrives before the engine has its
/// handlers is lost, because a shell starts background jobs deaf to SIGINT. A signal to the keeper
/// itself must not end the wait: the folder is the engine's until then.
const KEEPER: &str = r#"
folder=$1 template=$2 data=$3 signal=$4; shift 4
trap : HUP INT TERM
if [ -e "$data/PG_VERSION" ] || cp -Rp "$template" "$data"; then
    "$@" </dev/null >"$folder/log" 2>&1 & engine=$!
    cat >/dev/null
    (while kill -$signal $engine; do sleep 1; done) </dev/null 2>/dev/null & teller=$!
    while kill -0 $engine; do wait $engine; done 2>/dev/null
    kill $teller
fi
rm -rf "$folder"
"#;

/// Nothing has to survive a crash of the machine.
const THROWN_AWAY: &[&str] = &["fsync=off", "full_page_writes=off"];

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
    use crate::corpus::{kept, mistaken, walk};

    #[test]
    fn an_engine_is_ready_when_its_file_is_whole_and_says_so() {
        for (name, status) in kept("postmaster") {
            let status = String::from_utf8(status).unwrap();
            assert_eq!(is_ready(&status), name == "ready.pid");
            let whole = status.trim_end().len();
            assert!((0..whole).all(|end| !is_ready(&status[..end])), "{name}");
        }
    }

    #[test]
    fn what_is_kept_is_read_with_any_mistake() {
        walk("postmaster", |status| {
            let _ready = is_ready(&String::from_utf8_lossy(status));
        });
    }

    proptest! {
        #[test]
        fn no_mistakes_make_it_panic(status in mistaken("postmaster")) {
            let status = String::from_utf8_lossy(&status);
            prop_assert!(!is_ready(&status) || status.lines().count() > 7);
        }
    }
}
