//! The machine and the versions of a measurement.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

/// Where and with what something was measured. Unknown fields are empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The model of the CPU.
    pub cpu: String,
    /// How many of its cores this process may use.
    pub cores: usize,
    /// The distribution and the kernel.
    pub system: String,
    /// The compiler.
    pub rustc: String,
    /// The commit of the sources, with `-dirty` if they differ from it.
    pub commit: String,
    /// The versions of the crates that matter, from `Cargo.lock`.
    pub crates: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the environment of the process and the workspace.
    pub fn read() -> Self {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim_matches([' ', '\t', ':', '=', '"']).to_owned())
                .unwrap_or_default()
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap_or_default();
        Self {
            cpu: field("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism().map_or(0, usize::from),
            system: format!(
                "{}, kernel {}",
                field("/etc/os-release", "PRETTY_NAME"),
                kernel.trim()
            ),
            rustc: said_by(Command::new(rustc).arg("--version")),
            commit: said_by(
                Command::new("git")
                    .args(["describe", "--always", "--dirty", "--exclude=*"])
                    .current_dir(&workspace),
            ),
            crates: versions(&lock),
        }
    }
}

fn said_by(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default())
        .trim()
        .to_owned()
}

/// Finds the crates in a lock file. Of two versions the newer one: they are sorted.
fn versions(lock: &str) -> BTreeMap<String, String> {
    let value = |line: &str, key: &str| {
        let value = line.strip_prefix(key)?.strip_prefix(" = ")?;
        Some(value.trim_matches('"').to_owned())
    };
    let mut name = String::new();
    let mut versions = BTreeMap::new();
    for line in lock.lines() {
        if let Some(found) = value(line, "name") {
            name = found;
        } else if let Some(version) = value(line, "version")
            && CRATES.contains(&name.as_str())
        {
            versions.insert(name.clone(), version);
        }
    }
    versions
}

const CRATES: &[&str] = &[
    "aurora-dsql-sqlx-connector",
    "aws-config",
    "aws-lc-rs",
    "aws-sdk-dsql",
    "bb8",
    "bb8-postgres",
    "deadpool",
    "deadpool-postgres",
    "dsql-conn",
    "ring",
    "rustls",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tokio-postgres-rustls",
];
