//! Finds the engine: PostgreSQL 16 on this machine, or one that is fetched.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::error::{EngineError, OLDEST, SERVICE_MAJOR};
#[cfg(feature = "fetch")]
use super::fetch;
use super::owner::Owner;

/// A folder with a working `postgres` and `initdb`.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    bin: PathBuf,
    version: Version,
}

impl Installation {
    /// Returns this process's installation, which is searched once.
    pub(super) fn of_this_process() -> Result<(Self, Owner), EngineError> {
        // Locked during the search: a second cluster must not fetch as well.
        let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*found {
            return Ok(found.clone());
        }
        let owner = Owner::of_this_process()?;
        let installation = Self::find(&owner)?;
        Ok(found.insert((installation, owner)).clone())
    }

    /// Searches `DSQL_LOCAL_PG_BIN`, which must be valid if it is set, then the machine for
    /// PostgreSQL 16, and fetches it otherwise. The major version is fixed, so that results do not
    /// depend on the machine.
    fn find(owner: &Owner) -> Result<Self, EngineError> {
        let looked_in = match std::env::var_os("DSQL_LOCAL_PG_BIN").map(PathBuf::from) {
            Some(named) if named.as_os_str() == FETCH => "no folder, as configured".to_owned(),
            Some(named) => {
                let found = Self::at(&named, owner).ok_or(EngineError::WrongFolder(named))?;
                if found.version.major != SERVICE_MAJOR {
                    eprintln!(
                        "dsql-local: warning: DSQL_LOCAL_PG_BIN is PostgreSQL {}; results may \
                         differ from the service, which is compatible with {SERVICE_MAJOR}",
                        found.version.text
                    );
                }
                return Ok(found);
            }
            None => match Self::on_this_machine(owner) {
                Err(EngineError::NotFound { looked_in, .. }) => looked_in,
                found => return found,
            },
        };
        let not_fetched = |cause: &dyn Display| EngineError::NotFound {
            looked_in: looked_in.clone(),
            not_fetched: cause.to_string(),
        };
        #[cfg(feature = "fetch")]
        {
            let fetched = fetch::ensure(owner).map_err(|cause| not_fetched(&cause))?;
            Self::at(&fetched, owner)
                .ok_or_else(|| not_fetched(&"the fetched engine does not run on this machine"))
        }
        #[cfg(not(feature = "fetch"))]
        Err(not_fetched(&"built without the feature `fetch`"))
    }

    fn on_this_machine(owner: &Owner) -> Result<Self, EngineError> {
        let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
            .map(|path| std::env::split_paths(&path).collect())
            .unwrap_or_default();
        folders.extend(folder_of_pg_config());
        folders.extend(PACKAGE_FOLDERS.iter().flat_map(|pattern| expand(pattern)));
        Self::best_of(folders, owner)
    }

    fn best_of(folders: Vec<PathBuf>, owner: &Owner) -> Result<Self, EngineError> {
        let looked_in = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect::<Vec<_>>()
            .join(", ");
        // Links usually lead to the same installation.
        let real: BTreeSet<_> = folders
            .iter()
            .filter_map(|folder| real_folder(folder))
            .collect();
        real.iter()
            .filter_map(|folder| Self::at(folder, owner))
            .find(|found| found.version.major == SERVICE_MAJOR)
            .ok_or(EngineError::NotFound {
                looked_in,
                not_fetched: "not tried".to_owned(),
            })
    }

    fn at(folder: &Path, owner: &Owner) -> Option<Self> {
        let bin = real_folder(folder)?;
        let version = version_of(owner.command(bin.join("postgres")))?;
        let initdb = version_of(owner.command(bin.join("initdb")))?;
        (version == initdb && version.major >= OLDEST).then_some(Self { bin, version })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// Returns the version, which is part of the name of its data directories.
    pub(super) fn version(&self) -> &str {
        &self.version.text
    }
}

/// Returns the folder after following links: a folder in PATH often contains only links, and the
/// programs look for files beside their real path.
fn real_folder(folder: &Path) -> Option<PathBuf> {
    let postgres = fs::canonicalize(folder.join("postgres")).ok()?;
    Some(postgres.parent()?.to_owned())
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    text: String,
    major: u32,
}

fn version_of(mut program: Command) -> Option<Version> {
    let output = program.arg("--version").output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    Version::parse(&printed).filter(|_| output.status.success())
}

impl Version {
    /// Parses `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
    fn parse(printed: &str) -> Option<Self> {
        let text = printed.split_once("(PostgreSQL) ")?.1.trim().to_owned();
        let major = text
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()?;
        Some(Self { text, major })
    }
}

fn folder_of_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

/// Expands a pattern with one `*` in a folder's name.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or((".", before));
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

/// Debian, Fedora's PGDG, Homebrew on both processors, Postgres.app, from source.
const PACKAGE_FOLDERS: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
];

/// The value of `DSQL_LOCAL_PG_BIN` that skips the machine's own installations.
const FETCH: &str = "fetch";

static FOUND: Mutex<Option<(Installation, Owner)>> = Mutex::new(None);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::corpus::{inputs, mutated, walk};
    use crate::engine::error::INSTALL;

    #[test]
    fn versions_of_the_corpus_are_parsed() {
        let majors = inputs("version").into_iter().map(|(name, printed)| {
            let version = Version::parse(str::from_utf8(&printed).unwrap()).unwrap();
            (name, version.major)
        });
        let expected = [("beta.txt", 18), ("debian.txt", 15), ("of_initdb.txt", 16)];
        assert!(majors.eq(expected.map(|(name, major)| (name.to_owned(), major))));
        walk("version", read);
    }

    proptest! {
        #[test]
        fn no_version_panics(printed in mutated("version")) {
            read(&printed);
        }

        #[test]
        fn a_version_begins_with_its_major_number(
            program in "[a-z]{1,9}",
            major in any::<u32>(),
            rest in "([.a-z][ -~]{0,20})?",
        ) {
            let printed = format!("{program} (PostgreSQL) {major}{rest}\n");
            let text = format!("{major}{rest}").trim().to_owned();
            prop_assert_eq!(Version::parse(&printed), Some(Version { text, major }));
        }
    }

    fn read(printed: &[u8]) {
        let printed = String::from_utf8_lossy(printed);
        if let Some(version) = Version::parse(&printed) {
            let digits = version.text.trim_start_matches('0');
            assert!(version.major == 0 || digits.starts_with(&version.major.to_string()));
            assert!(printed.contains(&version.text));
        }
    }

    #[test]
    fn a_missing_engine_error_names_the_install_command() {
        let owner = Owner::of_this_process().unwrap();
        let empty = tempfile::tempdir().unwrap();
        let error = Installation::best_of(vec![empty.path().to_owned()], &owner).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(INSTALL), "{message}");
        assert!(message.contains("DSQL_LOCAL_PG_BIN"), "{message}");
    }

    #[test]
    fn the_engine_is_the_services_version() {
        let owner = Owner::of_this_process().unwrap();
        let found = Installation::find(&owner).unwrap();
        assert!(found.program("initdb").exists());
        if std::env::var_os("DSQL_LOCAL_PG_BIN").is_none() {
            assert_eq!(found.version.major, SERVICE_MAJOR);
        }
    }
}
