//! The modules of the library have no circles: each folder uses only folders before it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders and files of `src`, each of which may use those before it.
const ORDER: &[&str] = &[
    "random",
    "iam",
    "refusal",
    "faults",
    "protocol",
    "engine",
    "sql",
    "conflict",
    "server",
    "saved",
    "local",
    "start_error",
    "builder",
    "script",
];

#[test]
fn folders_use_only_folders_before_them() {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut seen = BTreeSet::new();
    for file in files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        let first = relative.iter().next().unwrap().to_str().unwrap();
        let module = first.trim_end_matches(".rs");
        if ["bin", "lib"].contains(&module) {
            continue;
        }
        let position = position(module);
        seen.insert(module.to_owned());
        for line in fs::read_to_string(&file).unwrap().lines() {
            let line = line.trim_start();
            let used = line.strip_prefix("use crate::");
            let Some(used) = used.and_then(|path| path.split([':', ';']).next()) else {
                continue;
            };
            let is_before = used == module || used == "corpus" || self::position(used) < position;
            assert!(is_before, "{}: {line}", relative.display());
        }
    }
    assert_eq!(seen.len(), ORDER.len(), "{seen:?}");
}

fn position(module: &str) -> usize {
    let position = ORDER.iter().position(|known| *known == module);
    position.unwrap_or_else(|| panic!("{module} is not in the order"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
