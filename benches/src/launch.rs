//! Runs a program as a process of its own, and tells what it took.

use std::io::{self, Error};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dsql_local::Identity;
use serde::Deserialize;

use crate::peers::executable;
use crate::site::Site;

/// Starts programs by way of `peers/launch`, which watches over each.
#[derive(Debug)]
pub struct Launcher(PathBuf);

/// How a program is run.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The executable.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: &'a [&'a str],
    /// Whether it has to look the cluster's name up.
    pub looks_up: bool,
    /// Whose credentials it has.
    pub identity: &'a Identity,
    /// Where the cluster seems to be.
    pub address: SocketAddr,
    /// The control group that limits it, if any.
    pub group: Option<&'a Path>,
    /// Whether it goes on until it is ended, where others end by themselves.
    pub goes_on: bool,
}

/// What a program took.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Took {
    started_ns: u64,
    first_line_ns: u64,
    cpu_us: u64,
    /// The most memory it ever had, in KiB.
    pub peak_kib: u64,
}

impl Launcher {
    /// Builds the launcher.
    ///
    /// # Errors
    ///
    /// If cargo fails, whose words are on standard error.
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

    /// Starts a program that goes on, with more variables.
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

/// A program that runs.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Waits for the program's end, or ends it if it goes on.
    ///
    /// # Errors
    ///
    /// If it failed; with its words.
    pub fn end(self) -> io::Result<Took> {
        // Standard input ends here, which is what the launcher waits for.
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

    /// When its first line was there.
    pub fn first_line(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.first_line_ns)
    }

    /// Its time on the CPU, from start to end.
    pub fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_us)
    }
}
