//! Runs a program as a process of its own, and measures it.

use std::io::{self, Error};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dsql_local::Identity;
use serde::Deserialize;

use crate::peers::executable;
use crate::site::Site;

/// Starts programs through `peers/launch`, which measures them.
#[derive(Debug)]
pub struct Launcher(PathBuf);

/// How a program is run.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Whether it must look up the cluster's name.
    pub looks_up: bool,
    /// The credentials of the program.
    pub identity: &'a Identity,
    /// The address at which it finds the cluster.
    pub address: SocketAddr,
    /// The control group that limits it, if any.
    pub group: Option<&'a Path>,
    /// Whether it runs until it is ended; others end by themselves.
    pub goes_on: bool,
}

/// The measurements of a program.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Took {
    started_ns: u64,
    first_line_ns: u64,
    cpu_us: u64,
    /// The peak memory, in KiB.
    pub peak_kib: u64,
}

impl Launcher {
    /// Builds the launcher.
    ///
    /// # Errors
    ///
    /// If cargo fails. Its message is on standard error.
    pub fn build() -> io::Result<Self> {
        Ok(Self(executable("launch", "launch")?))
    }

    /// Runs a program that ends by itself.
    ///
    /// # Errors
    ///
    /// If it cannot be started or fails.
    pub fn run(&self, site: &Site, launch: Launch<'_>) -> io::Result<Took> {
        Running(self.command(site, launch, &[]).spawn()?).end()
    }

    /// Starts a program that keeps running, with further variables.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(
        &self,
        site: &Site,
        launch: Launch<'_>,
        variables: &[(&str, &str)],
    ) -> io::Result<Running> {
        self.command(site, launch, variables).spawn().map(Running)
    }

    fn command(&self, site: &Site, launch: Launch<'_>, variables: &[(&str, &str)]) -> Command {
        let mut command = site.command(&self.0, launch.looks_up);
        if launch.goes_on {
            command.arg("--until-eof");
        }
        if let Some(group) = launch.group {
            command.arg("--group").arg(group.join("cgroup.procs"));
        }
        command.arg(launch.program).args(launch.arguments);
        site.furnish(&mut command, launch.identity, launch.address);
        command
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// A running program.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Waits for the program's end; ends it if it keeps running.
    ///
    /// # Errors
    ///
    /// If it failed, with its output.
    pub fn end(self) -> io::Result<Took> {
        // The end of standard input tells the launcher to end.
        let output = self.0.wait_with_output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::other(format!("{}: {said}", output.status)));
        }
        serde_json::from_slice(&output.stdout).map_err(Error::other)
    }
}

impl Took {
    /// When the process was started.
    pub fn started(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.started_ns)
    }

    /// When its first line arrived.
    pub fn first_line(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.first_line_ns)
    }

    /// Its CPU time, from start to end.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_us)
    }
}
