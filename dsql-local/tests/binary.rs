//! The binary: what it prints is enough to connect, and it leaves nothing behind.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dsql-local");

/// A running `dsql-local` and what it printed.
struct Served {
    program: Child,
    exports: HashMap<String, String>,
    psql: String,
}

fn serve(arguments: &[&str]) -> Served {
    let mut program = Command::new(PROGRAM)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut exports = HashMap::new();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let psql = loop {
        let line = lines.next().expect("it prints a line for psql").unwrap();
        if let Some(export) = line.strip_prefix("export ") {
            let (name, value) = export.split_once('=').unwrap();
            exports.insert(name.to_owned(), value.trim_matches('\'').to_owned());
        } else if line.contains(" psql ") {
            break line;
        }
    };
    Served {
        program,
        exports,
        psql,
    }
}

impl Served {
    fn folder(&self) -> &Path {
        Path::new(&self.exports["DSQL_CA_FILE"]).parent().unwrap()
    }

    fn shell(&self, line: &str) -> Output {
        Command::new("sh")
            .args(["-c", line])
            .envs(&self.exports)
            .output()
            .unwrap()
    }

    fn signal(&mut self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.program.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        self.program.wait().unwrap();
    }
}

/// The engine is told by a pipe that closes, and takes a moment.
fn wait_until_gone(folder: &Path) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while folder.exists() {
        assert!(
            Instant::now() < give_up,
            "{} is still there",
            folder.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_it_prints_is_enough_for_psql() {
    let mut served = serve(&["--region", "eu-west-1"]);
    assert!(served.exports["DSQL_ENDPOINT"].ends_with(".dsql.eu-west-1.on.aws"));
    assert_eq!(served.exports["AWS_REGION"], "eu-west-1");
    let output = served.shell(&format!("{} -XAtc 'SELECT current_user'", served.psql));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "admin\n");

    let file = served.folder().join("env.sh");
    let sourced = served.shell(&format!(
        ". {} && printf %s \"$AWS_SESSION_TOKEN\"",
        file.display()
    ));
    assert_eq!(
        sourced.stdout,
        served.exports["AWS_SESSION_TOKEN"].as_bytes()
    );
    let folder = served.folder().to_owned();
    served.signal("-TERM");
    assert!(!folder.exists());
}

#[test]
fn killed_it_leaves_nothing_behind() {
    let mut served = serve(&["serve"]);
    let folder = served.folder().to_owned();
    assert!(folder.exists());
    served.signal("-KILL");
    wait_until_gone(&folder);
}

#[test]
fn a_token_is_all_that_token_prints() {
    let token = |user: &str| {
        let output = Command::new(PROGRAM)
            .args(["token", "--user", user])
            .env("DSQL_ENDPOINT", "peccy.dsql.us-east-1.on.aws")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "akid")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env_remove("AWS_SESSION_TOKEN")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(token("admin").starts_with("peccy.dsql.us-east-1.on.aws/?Action=DbConnectAdmin&"));
    assert!(token("app").starts_with("peccy.dsql.us-east-1.on.aws/?Action=DbConnect&"));
    assert_eq!(token("app").lines().count(), 1);
}

#[test]
fn a_token_of_another_time_is_refused() {
    let mut served = serve(&[]);
    for (offset, hint) in [
        ("-3600", "Signature expired: "),
        ("3600", "Signature not yet current: "),
    ] {
        let psql = served
            .psql
            .replace(" token)", &format!(" token --clock-offset={offset})"));
        let output = served.shell(&format!("{psql} -c 'SELECT 1'"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("unable to accept connection, access denied"),
            "{said}"
        );
        assert!(said.contains(hint), "{said}");
    }
    served.signal("-TERM");
}

#[test]
fn what_is_missing_is_one_clear_error() {
    let without_endpoint = Command::new(PROGRAM)
        .arg("token")
        .env("AWS_ACCESS_KEY_ID", "akid")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env_remove("DSQL_ENDPOINT")
        .output()
        .unwrap();
    let without_engine = Command::new(PROGRAM)
        .env("DSQL_LOCAL_PG_BIN", "/nowhere")
        .output()
        .unwrap();
    for (output, name) in [
        (without_endpoint, "DSQL_ENDPOINT"),
        (without_engine, "DSQL_LOCAL_PG_BIN"),
    ] {
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(name), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
