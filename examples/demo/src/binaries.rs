//! Builds the Lambda's two programs as they would be deployed, and finds them.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

/// The programs of the package `generate-game`.
#[derive(Debug)]
pub(crate) struct Binaries {
    pub(crate) bootstrap: PathBuf,
    pub(crate) generate_game: PathBuf,
}

impl Binaries {
    /// Runs cargo with the profile `lambda`; its progress goes to standard error.
    pub(crate) async fn build() -> Result<Self, Box<dyn Error>> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // The variables that `cargo run` sets for this package would make build scripts rerun that
        // read them, and everything that depends on those.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                cargo.env_remove(&*name);
            }
        }
        let mut cargo = cargo
            .args([
                "build",
                "--profile",
                "lambda",
                "--package",
                "generate-game",
                "--bins",
            ])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Its own process group: an interrupted demo ends the compilers as well.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("cannot run cargo, is it on the PATH? {error}"))?;
        let group = Group(cargo.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));

        let mut messages = BufReader::new(cargo.stdout.take().expect("it is piped")).lines();
        let mut executables = HashMap::new();
        while let Some(message) = messages.next_line().await? {
            executables.extend(executable(&message));
        }
        let status = cargo.wait().await?;
        group.ended();
        if !status.success() {
            return Err(format!("cargo build failed with {status}").into());
        }
        let mut take = |name: &str| {
            executables
                .remove(name)
                .ok_or_else(|| format!("cargo build named no executable {name}"))
        };
        Ok(Self {
            bootstrap: take("bootstrap")?,
            generate_game: take("generate-game")?,
        })
    }
}

/// Reads name and path out of cargo's message about a finished program.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    let path = message.get("executable")?.as_str()?;
    Some((name.to_owned(), path.into()))
}

/// Ends cargo and its compilers when it is dropped early.
struct Group(Option<Pid>);

impl Group {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails only for a group that has ended.
            kill_process_group(group, Signal::TERM).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_programs_name_an_executable() {
        for (message, found) in [
            (
                concat!(
                    r#"{"reason":"compiler-artifact","target":{"name":"bootstrap"},"#,
                    r#""executable":"/t/bootstrap"}"#
                ),
                Some(("bootstrap".to_owned(), PathBuf::from("/t/bootstrap"))),
            ),
            (
                concat!(
                    r#"{"reason":"compiler-artifact","target":{"name":"generate_game"},"#,
                    r#""executable":null}"#
                ),
                None,
            ),
            (r#"{"reason":"build-finished","success":true}"#, None),
            ("", None),
        ] {
            assert_eq!(executable(message), found, "{message}");
        }
    }
}
