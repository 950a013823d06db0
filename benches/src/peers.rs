//! The programs of `peers/`, each built alone and as for a deployment.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{self, Error};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use serde::Deserialize;

use crate::record::target_directory;

/// A program that prints a first row.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its package.
    pub name: &'static str,
    /// How the package is used, if there are several ways.
    pub variant: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// Whether it connects to the name that it verifies, and takes no address.
    pub looks_up: bool,
    /// The executable.
    pub path: PathBuf,
    /// The size of the stripped executable.
    pub bytes: u64,
    /// The number of crates in the build, including itself and macros.
    pub crates: usize,
}

impl Peer {
    /// Builds `dsql-conn`'s programs: one for each use, so that none contains another's code.
    ///
    /// # Errors
    ///
    /// If cargo fails, whose words are on standard error.
    pub fn ours() -> io::Result<Vec<Self>> {
        let early: &[&str] = &["--password-in-startup-flight"];
        let ways = [
            ("ours", "typed", &[][..]),
            ("readme", "readme", &[]),
            ("transaction", "transaction", &[]),
            ("ours", "typed, password in the startup flight", early),
            ("readme", "readme, password in the startup flight", early),
            (
                "transaction",
                "transaction, password in the startup flight",
                early,
            ),
        ];
        let built = |(binary, variant, arguments)| Self::build("ours", binary, variant, arguments);
        ways.into_iter().map(built).collect()
    }

    /// Builds the peers: AWS's connector, and two pools assembled by hand.
    ///
    /// # Errors
    ///
    /// If cargo fails, whose words are on standard error.
    pub fn others() -> io::Result<Vec<Self>> {
        let names = [AWS_CONNECTOR, "bb8-postgres-peer", "deadpool-peer"];
        let built = |name| Self::build(name, name, "", &[]);
        names.into_iter().map(built).collect()
    }

    /// Builds the lower bound: no driver, no pool, everything in one flight that can be.
    ///
    /// # Errors
    ///
    /// If cargo fails, whose words are on standard error.
    pub fn floor() -> io::Result<Self> {
        Self::build("floor", "floor", "", &[])
    }

    fn build(
        name: &'static str,
        binary: &str,
        variant: &'static str,
        arguments: &'static [&'static str],
    ) -> io::Result<Self> {
        let path = executable(name, binary)?;
        let mut tree = cargo(&workspace());
        tree.args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
        tree.args(["--format", "{p}", "--package", name]);
        let tree = output(&mut tree)?;
        let crates: BTreeSet<_> = tree
            .lines()
            .map(|line| line.trim_end_matches(" (*)"))
            .collect();
        Ok(Self {
            name,
            variant,
            arguments,
            looks_up: name == AWS_CONNECTOR,
            bytes: fs::metadata(&path)?.len(),
            crates: crates.len(),
            path,
        })
    }
}

/// Builds an executable of `peers/` and returns its path.
///
/// Each package is built alone, so that features are not unified.
pub(crate) fn executable(package: &str, name: &str) -> io::Result<PathBuf> {
    let target = target_directory().join("peers");
    let mut build = cargo(&workspace());
    build.args(["build", "--locked", "--release"]);
    build.args(["--package", package, "--bin", name]);
    build.arg("--target-dir").arg(target);
    built(&mut build, name)
}

/// Builds the executable `name` of this workspace, with the profile of a deployment.
///
/// # Errors
///
/// If cargo fails, whose words are on standard error.
pub fn deployed(package: &str, name: &str) -> io::Result<PathBuf> {
    let mut build = cargo(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    build.args([
        "build",
        "--locked",
        "--profile",
        "lambda",
        "--package",
        package,
        "--bin",
        name,
    ]);
    built(&mut build, name)
}

fn built(build: &mut Command, name: &str) -> io::Result<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    let messages = output(build.arg("--message-format=json-render-diagnostics"))?;
    let mut executables = messages.lines().filter_map(|message| {
        let message: Message = serde_json::from_str(message).ok()?;
        message.executable
    });
    executables
        .rfind(|path| path.file_stem() == Some(OsStr::new(name)))
        .ok_or_else(|| Error::other(format!("cargo built no {name}")))
}

/// Cargo, without the variables that cargo set for this process: build scripts that read them would
/// rerun.
fn cargo(directory: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&*name);
        }
    }
    cargo.current_dir(directory);
    cargo
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Error::other(format!("{command:?}: {}", output.status)));
    }
    String::from_utf8(output.stdout).map_err(Error::other)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

const AWS_CONNECTOR: &str = "aws-connector";
