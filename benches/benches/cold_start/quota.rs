//! A limit on the CPU, as a Lambda of 128 MB has it.

use std::path::{Path, PathBuf};
use std::{fs, io, process};

/// A control group whose processes have a sixteenth of a CPU. It goes when it is dropped.
pub(crate) struct Quota(PathBuf);

impl Quota {
    /// Makes the group, by version 2 of control groups or by version 1. It takes the right to.
    ///
    /// The period is 20 ms, as Lambda's: in the kernel's default of 100 ms, a short program would
    /// never meet its limit.
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
            // Not created if the controller is not there: that must fail.
            let file = fs::OpenOptions::new().write(true).open(self.0.join(file));
            let mut file = file.map_err(failed)?;
            io::Write::write_all(&mut file, limit.as_bytes()).map_err(failed)?;
        }
        Ok(())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // It may never have been made.
        fs::remove_dir(&self.0).ok();
    }
}
