//! A data directory that is created once per engine version and copied at each start, which is ten
//! times faster than `initdb`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::error::EngineError;
use super::find::Installation;
use super::owner::Owner;

/// Returns the template's folder. Creates it if it does not exist.
pub(super) fn ensure(installation: &Installation, owner: &Owner) -> Result<PathBuf, EngineError> {
    // `cache` checks the owner: another user could create a folder of this name.
    let name = format!("dsql-local-templates-{}", owner.uid());
    let cache = owner.cache(&owner.temp_dir(), &name)?;
    let template = cache.join(fingerprint(installation));
    if !template.join("PG_VERSION").exists() {
        build(installation, owner, &cache, &template)?;
    }
    Ok(template)
}

/// Builds in another folder and renames it: another process must not see a part, and may finish
/// first.
fn build(
    installation: &Installation,
    owner: &Owner,
    cache: &Path,
    template: &Path,
) -> Result<(), EngineError> {
    let building = owner.folder(cache, ".building-")?;
    let data = building.path().join("data");
    let mut initdb = owner.command(installation.program("initdb"));
    initdb
        .arg("-D")
        .arg(&data)
        .args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8"])
        .args(["--locale=C", "--no-sync", "--wal-segsize=1"]);
    run("initdb", &mut initdb, "")?;

    // Single-user mode needs no socket and ends by itself. `-O` allows it to change the system
    // catalogs.
    let mut single = owner.command(installation.program("postgres"));
    single
        .args(["--single", "-j", "-F", "-O", "-D"])
        .arg(&data)
        .arg(DATABASE);
    run("postgres --single", &mut single, &prepare())?;

    match fs::rename(&data, template) {
        Err(_) if template.join("PG_VERSION").exists() => Ok(()),
        renamed => Ok(renamed?),
    }
}

fn run(program: &'static str, command: &mut Command, input: &str) -> Result<(), EngineError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let printed = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    // Single-user mode exits with success after an error.
    if !output.status.success() || printed.contains("ERROR:") {
        return Err(EngineError::Program {
            program,
            output: printed,
        });
    }
    Ok(())
}

fn fingerprint(installation: &Installation) -> String {
    let digest = Sha256::new()
        .chain_update(installation.version())
        .chain_update(
            installation
                .program("postgres")
                .as_os_str()
                .as_encoded_bytes(),
        )
        .chain_update(prepare())
        .finalize();
    hex::encode(&digest[..12])
}

/// Returns the SQL that prepares the database. In single-user mode with `-j`, a semicolon and an
/// empty line end a statement.
fn prepare() -> String {
    PREPARE.replacen("-- CONFLICTS", CONFLICTS, 1)
}

/// The only database, as in the service.
pub(crate) const DATABASE: &str = "postgres";
pub(super) const SUPERUSER: &str = "postgres";
const PREPARE: &str = include_str!("prepare.sql");
/// The functions that `conflict` calls.
const CONFLICTS: &str = include_str!("conflicts.sql");
