//! The user that the engine runs as: the user of this process, or another one if that is root.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::error::EngineError;

/// The user of the engine's processes and files.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    uid: u32,
    /// The group to switch to, if this process is root.
    switches_to: Option<u32>,
}

impl Owner {
    pub(super) fn of_this_process() -> Result<Self, EngineError> {
        let uid = rustix::process::geteuid().as_raw();
        if uid != 0 {
            return Ok(Self {
                uid,
                switches_to: None,
            });
        }
        let passwd = fs::read_to_string("/etc/passwd")?;
        ["postgres", "_postgres", "nobody"]
            .into_iter()
            .find_map(|name| user(&passwd, name))
            .map(|(uid, gid)| Self {
                uid,
                switches_to: Some(gid),
            })
            .ok_or(EngineError::NoOwner)
    }

    /// Prepares a command that runs as this user, outside of the terminal's process group.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some(gid) = self.switches_to {
            // Root's PATH may contain folders that this user cannot enter.
            command.uid(self.uid).gid(gid).env("PATH", SYSTEM_PATH);
        }
        command
            .process_group(0)
            .current_dir("/")
            .env_remove("PGDATA");
        command
    }

    /// Creates a folder that only this user can enter.
    pub(super) fn folder(&self, parent: &Path, prefix: &str) -> Result<TempDir, EngineError> {
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent)?;
        self.take(folder.path())?;
        Ok(folder)
    }

    pub(super) fn take(&self, folder: &Path) -> Result<(), EngineError> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        if let Some(gid) = self.switches_to {
            chown(folder, Some(self.uid), Some(gid))?;
        }
        Ok(())
    }

    /// Returns whether a folder belongs to this user alone, and is not a link.
    pub(super) fn has_for_itself(&self, folder: &Path) -> bool {
        fs::symlink_metadata(folder).is_ok_and(|metadata| {
            metadata.is_dir() && metadata.uid() == self.uid && metadata.mode() & 0o077 == 0
        })
    }

    /// Returns the folder for the engine's files. Root's own folders are closed to the engine's
    /// user, and the path of a socket has a maximum length.
    pub(super) fn temp_dir(&self) -> PathBuf {
        let folder = std::env::temp_dir();
        if self.switches_to.is_some() || folder.as_os_str().len() > LONGEST_TEMP_DIR {
            return PathBuf::from("/tmp");
        }
        folder
    }

    /// Returns the folder for temporary data: in memory if enough is free, since an engine creates
    /// hundreds of files.
    pub(super) fn data_dir(&self) -> PathBuf {
        match free_bytes(MEMORY_DIR) {
            Some(free) if free >= PLENTY => PathBuf::from(MEMORY_DIR),
            _ => self.temp_dir(),
        }
    }

    /// Creates or finds a folder for files that outlive this process. Programs in it are run, so it
    /// must belong to this user.
    pub(super) fn cache(&self, parent: &Path, name: &str) -> Result<PathBuf, EngineError> {
        let cache = parent.join(name);
        match fs::create_dir(&cache) {
            Ok(()) => self.take(&cache)?,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        if !self.has_for_itself(&cache) {
            return Err(EngineError::ForeignCache(cache));
        }
        Ok(cache)
    }

    /// Returns whether this process is root and the engine another user, who cannot enter root's
    /// home.
    #[cfg(feature = "fetch")]
    pub(super) fn is_other_user(&self) -> bool {
        self.switches_to.is_some()
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }
}

fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    // macOS writes the last two 32-bit IDs as -2 and -1.
    let mut id = || {
        let id: i64 = fields.next()?.parse().ok()?;
        u32::try_from(id)
            .or_else(|_| i32::try_from(id).map(i32::cast_unsigned))
            .ok()
    };
    Some((id()?, id()?))
}

fn free_bytes(folder: &str) -> Option<u64> {
    let file_system = rustix::fs::statvfs(folder).ok()?;
    Some(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

const SYSTEM_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";
/// A folder in memory, on Linux only; in containers it often has only 64 megabytes.
const MEMORY_DIR: &str = "/dev/shm";
const PLENTY: u64 = 1024 * 1024 * 1024;
/// A socket's path has at most 107 bytes on Linux and 103 on macOS, including the names of the
/// engine's folder and of the socket.
const LONGEST_TEMP_DIR: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{mutated, walk};

    /// A truncated ID would be another user's.
    #[test]
    fn ids_out_of_range_are_rejected() {
        for (id, expected) in [
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("-2147483648", Some(1 << 31)),
            ("-2147483649", None),
            ("-4294967296", None),
            ("9223372036854775808", None),
            ("", None),
        ] {
            let passwd = format!("a:x:{id}:{id}::/:/bin/sh");
            assert_eq!(user(&passwd, "a"), expected.map(|id| (id, id)), "{id}");
        }
    }

    #[test]
    fn mutations_of_the_corpus_never_panic() {
        walk("passwd", read_passwd);
    }

    proptest! {
        #[test]
        fn no_mutated_input_panics(passwd in mutated("passwd")) {
            read_passwd(&passwd);
        }

        #[test]
        fn a_user_is_found_among_others(
            others in prop::collection::vec("[a-z]{1,8}(:[^\n]{0,9}){0,6}", 0..5),
            uid in any::<u32>(),
            gid in any::<u32>(),
        ) {
            let passwd = format!("{}\n_me:x:{uid}:{gid}:Me:/:/bin/sh\n", others.join("\n"));
            prop_assert_eq!(user(&passwd, "_me"), Some((uid, gid)));
        }
    }

    fn read_passwd(passwd: &[u8]) {
        let passwd = String::from_utf8_lossy(passwd);
        for name in ["postgres", "nobody"] {
            let is_there = passwd
                .lines()
                .any(|line| line.starts_with(&format!("{name}:")));
            assert!(user(&passwd, name).is_none() || is_there);
        }
    }

    #[test]
    fn users_are_found_by_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104::/:\n\
                      nobody:*:-2:-2::/:\n";
        assert_eq!(user(passwd, "postgres"), Some((101, 104)));
        assert_eq!(user(passwd, "nobody"), Some((u32::MAX - 1, u32::MAX - 1)));
        assert_eq!(user(passwd, "post"), None);
    }
}
