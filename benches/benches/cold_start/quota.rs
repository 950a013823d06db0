//! A CPU limit like that of a Lambda with 128 MB.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

/// A control group whose processes share a sixteenth of a CPU. Dropping it removes the group.
pub(crate) struct Quota(PathBuf);

impl Quota {
    /// Makes the group, with control groups version 2 or 1. Needs the permission to.
    ///
    /// The period is 20 ms, as in Lambda: with the kernel's default of 100 ms, a short program
    /// would not reach its limit.
    pub(crate) fn sixteenth_of_a_cpu() -> io::Result<Self> {
        let name = format!("dsql-conn-bench-{}", process::id());
        let unified = Self(Path::new("/sys/fs/cgroup").join(&name));
        let error = match unified.limit(&[("cpu.max", "1250 20000")]) {
            Ok(()) => return Ok(unified),
            Err(error) => error,
        };
        let separate = Self(Path::new("/sys/fs/cgroup/cpu").join(&name));
        let limits = [("cpu.cfs_period_us", "20000"), ("cpu.cfs_quota_us", "1250")];
        match separate.limit(&limits) {
            Ok(()) => Ok(separate),
            Err(_) => Err(error),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn limit(&self, limits: &[(&str, &str)]) -> io::Result<()> {
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.0.display()))
        };
        fs::create_dir(&self.0).map_err(failed)?;
        for (file, limit) in limits {
            // This must fail if the controller is missing: the file does not exist then.
            let file = fs::OpenOptions::new().write(true).open(self.0.join(file));
            let mut file = file.map_err(failed)?;
            io::Write::write_all(&mut file, limit.as_bytes()).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // The group may not exist.
        fs::remove_dir(&self.0).ok();
    }
}
