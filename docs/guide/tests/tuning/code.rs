//! The settings in the code.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn source(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dsql-conn/src");
    fs::read_to_string(file.join(path)).unwrap()
}

/// The public methods that take `self` and return it changed.
pub(crate) fn setters(sources: &[PathBuf]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in sources {
        let text = source(path.to_str().unwrap());
        for function in text.split("    pub ").skip(1) {
            let function = function.strip_prefix("const ").unwrap_or(function);
            let Some(function) = function.strip_prefix("fn ") else {
                continue;
            };
            let signature = function.split(" {\n").next().unwrap();
            let signature = signature.split("\n    where").next().unwrap();
            let (start, parameters) = signature.split_once('(').unwrap();
            let parameters = parameters.trim_start();
            let takes_self = parameters.starts_with("mut self") || parameters.starts_with("self");
            let returns_self =
                signature.contains("-> Self") || signature.contains("-> Result<Self, ConfigError>");
            let name = start.split('<').next().unwrap();
            if takes_self && returns_self && name != "from_env" {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

pub(crate) fn config_sources() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dsql-conn/src/config");
    let mut sources = vec![PathBuf::from("config.rs")];
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name();
        if Path::new(&name).extension().is_some_and(|it| it == "rs") {
            sources.push(Path::new("config").join(name));
        }
    }
    sources
}
