//! Stores measurements for the report.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Serialize;

use crate::environment::Environment;

/// Writes `performance/<name>.json` in the target directory: the rows, and the environment in which
/// they were measured.
///
/// # Errors
///
/// The error of the file system, or of serialization.
pub fn record(name: &str, rows: &impl Serialize) -> io::Result<()> {
    let environment = Environment::read();
    let document = serde_json::to_string_pretty(&Document { environment, rows })?;
    let directory = target_directory().join("performance");
    fs::create_dir_all(&directory)?;
    fs::write(directory.join(name).with_extension("json"), document)
}

/// Returns the target directory: `CARGO_TARGET_DIR`, else the workspace's own.
pub fn target_directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    workspace.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

#[derive(Serialize)]
struct Document<'a, R> {
    environment: Environment,
    rows: &'a R,
}
