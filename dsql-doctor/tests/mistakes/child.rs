//! Makes the mistakes of an environment in a process that has it.

use std::env;

use dsql_conn::Config;
use tokio::process::Command;

use crate::{Told, tell};

/// Returns the reports of a process with only these variables.
pub(crate) async fn told(variables: &[(&str, &str)]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child::child_tells", "--nocapture"])
        .env_clear()
        .env(CHILD, "1")
        .env("HOME", folder.path())
        .env("DSQL_ENDPOINT", endpoint)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let line = |name: &str| {
        let mut lines = printed.lines();
        let line = lines
            .find_map(|line| line.split_once(name))
            .map(|(_, rest)| rest);
        line.unwrap_or_else(|| panic!("no {name} in {printed}"))
            .to_owned()
    };
    Told {
        library: line("LIBRARY "),
        remedy: line("REMEDY "),
        docs_url: line("DOCS "),
        doctor: line("DOCTOR "),
        exit_code: line("CODE ").parse().unwrap(),
    }
}

/// Does nothing, unless it is run as a child.
#[tokio::test]
async fn child_tells() {
    if env::var_os(CHILD).is_none() {
        return;
    }
    let told = tell(Config::from_env()).await;
    println!("\nLIBRARY {}\nREMEDY {}", told.library, told.remedy);
    println!("DOCS {}", told.docs_url);
    println!("DOCTOR {}\nCODE {}", told.doctor, told.exit_code);
}

const CHILD: &str = "DSQL_DOCTOR_TEST_CHILD";
