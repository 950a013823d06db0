//! The binary: clients connect with what it prints, and it removes its files.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dsql-local");

/// A running `dsql-local` and its output.
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

/// Waits until the engine's keeper, whose pipe closed, has removed the folder.
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
fn psql_connects_with_the_printed_line() {
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
fn a_killed_process_leaves_no_files() {
    let mut served = serve(&["serve"]);
    let folder = served.folder().to_owned();
    assert!(folder.exists());
    served.signal("-KILL");
    wait_until_gone(&folder);
}

#[test]
fn token_prints_only_a_token() {
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
fn tokens_of_a_wrong_clock_are_refused() {
    let mut served = serve(&[]);
    for (offset, hint) in [
        ("-3600", "Signature expired: "),
        ("3600", "Signature not yet current: "),
    ] {
        let psql = served
            .psql
            .replace(" token)", &format!(" token --clock-offset={offset})"));
        let output = served.shell(&format!("{psql} -c 'SELECT 1'"));
        let output = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.contains("unable to accept connection, access denied"),
            "{output}"
        );
        assert!(output.contains(hint), "{output}");
    }
    served.signal("-TERM");
}

#[test]
fn missing_variables_and_files_are_named() {
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

/// Runs a command with `dsql-local exec`.
fn exec(options: &[&str], command: &[&str]) -> Output {
    Command::new(PROGRAM)
        .arg("exec")
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[test]
fn exec_sets_the_environment_and_stops_the_cluster() {
    let output = exec(
        &[],
        &["psql", "-XAtc", "SELECT current_database(), current_user"],
    );
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "postgres|admin");
    for (command, code) in [("exit 7", 7), ("kill -TERM $$", 143)] {
        let output = exec(&[], &["sh", "-c", command]);
        assert_eq!(output.status.code(), Some(code), "{command}");
    }
    let output = exec(
        &[],
        &[
            "sh",
            "-c",
            "echo \"$PGSSLROOTCERT\" && test -s \"$SSL_CERT_FILE\" && getent hosts \"$PGHOST\"",
        ],
    );
    let printed = text(&output.stdout);
    let mut lines = printed.lines();
    let folder = Path::new(lines.next().unwrap())
        .parent()
        .unwrap()
        .to_owned();
    assert!(output.status.success(), "{printed}");
    let (address, endpoint) = lines.next().unwrap().split_once(' ').unwrap();
    assert_eq!(address, "127.0.0.1");
    assert!(!folder.exists());
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(!hosts.contains(endpoint.trim()), "{hosts}");
    let missing = exec(&[], &["no-such-program"]);
    assert!(text(&missing.stderr).contains("no-such-program"));
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn a_data_folder_keeps_the_cluster() {
    let kept = tempfile::Builder::new()
        .prefix("kept-")
        .tempdir_in("/tmp")
        .unwrap();
    let folder = kept.path().join("cluster");
    let folder = folder.to_str().unwrap();
    let script = kept.path().join("init.sql");
    std::fs::write(
        &script,
        "CREATE TABLE t (id int);\nINSERT INTO t VALUES (1);",
    )
    .unwrap();
    let id = "abcdefghijklmnopqrstuvwx23";
    let options = [
        "--data",
        folder,
        "--id",
        id,
        "--init",
        script.to_str().unwrap(),
    ];
    let names = "echo $PGHOST $AWS_ACCESS_KEY_ID && cat $PGSSLROOTCERT && \
                 psql -Atc 'INSERT INTO t VALUES (2)'";
    let first = exec(&options, &["sh", "-c", names]);
    assert_eq!(text(&first.stderr), "");
    let second = exec(&options, &["sh", "-c", names]);
    assert_eq!(text(&second.stdout), text(&first.stdout));
    assert!(text(&first.stdout).starts_with(&format!("{id}.dsql.us-east-1.on.aws ASIA")));
    let count = exec(
        &["--data", folder],
        &["psql", "-XAtc", "SELECT count(*) FROM t"],
    );
    assert_eq!(text(&count.stdout), "3");

    for (options, words) in [
        (
            &["--data", folder, "--region", "eu-west-1"][..],
            "us-east-1",
        ),
        (
            &["--data", folder, "--id", "abcdefghijklmnopqrstuvwx24"],
            id,
        ),
        (&["--id", "short"], "26 lower-case letters and digits"),
    ] {
        let refused = exec(options, &["true"]);
        assert!(text(&refused.stderr).contains(words), "{options:?}");
        assert_eq!(refused.status.code(), Some(1));
    }
    // One process at a time can use the folder.
    let mut served = serve(&["--data", folder]);
    let second = exec(&["--data", folder], &["true"]);
    assert!(
        text(&second.stderr).contains("another dsql-local"),
        "{}",
        text(&second.stderr)
    );
    served.signal("-TERM");
}

#[test]
fn a_failing_init_statement_is_named() {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), "SELECT 1; TRUNCATE t;").unwrap();
    let output = exec(&["--init", script.path().to_str().unwrap()], &["true"]);
    let output = text(&output.stderr);
    assert!(
        output.contains("`TRUNCATE t` failed: ERROR: unsupported statement: Truncate"),
        "{output}"
    );
}

#[test]
fn migrations_of_an_init_folder_are_applied_once() {
    let kept = tempfile::tempdir_in("/tmp").unwrap();
    let folder = kept.path().join("migrations");
    std::fs::create_dir(&folder).unwrap();
    let migration = "CREATE TABLE IF NOT EXISTS t (id int); INSERT INTO t VALUES (1);";
    std::fs::write(folder.join("0001_t.sql"), migration).unwrap();
    let data = kept.path().join("cluster");
    let data = data.to_str().unwrap();
    let options = ["--data", data, "--init", folder.to_str().unwrap()];
    for count in ["1", "1"] {
        let counted = exec(&options, &["psql", "-XAtc", "SELECT count(*) FROM t"]);
        assert_eq!(text(&counted.stdout), count, "{}", text(&counted.stderr));
    }
    std::fs::write(folder.join("0002_t.sql"), "INSERT INTO t VALUES (2)").unwrap();
    let counted = exec(&options, &["psql", "-XAtc", "SELECT count(*) FROM t"]);
    assert_eq!(text(&counted.stdout), "2");
    std::fs::write(folder.join("0003_t.sql"), "DROP TABLE t").unwrap();
    let refused = exec(&options, &["true"]);
    assert!(text(&refused.stderr).contains("0003_t.sql:1: statement 1"));
}

#[test]
fn env_files_have_the_variables_that_clients_read() {
    let ready = tempfile::tempdir().unwrap();
    let ready = ready.path().join("ready");
    let mut served = serve(&[
        "serve",
        "--ready-file",
        ready.to_str().unwrap(),
        "--call",
        "inject('waking_up', 1)",
    ]);
    let give_up = Instant::now() + Duration::from_secs(60);
    while !ready.exists() {
        assert!(Instant::now() < give_up, "it is never ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    let written = std::fs::read_to_string(&ready).unwrap();
    let env = std::fs::read_to_string(served.folder().join("env.sh")).unwrap();
    assert_eq!(written, env);
    for name in [
        "DSQL_ENDPOINT",
        "DSQL_HOSTADDR",
        "DSQL_PORT",
        "DSQL_CA_FILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "PGHOST",
        "PGHOSTADDR",
        "PGPORT",
        "PGUSER",
        "PGDATABASE",
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "NODE_EXTRA_CA_CERTS",
        "SSL_CERT_FILE",
        "CLUSTER_ENDPOINT",
        "CLUSTER_USER",
        "REGION",
    ] {
        assert!(written.contains(&format!("export {name}='")), "{name}");
    }
    for expected in ["waking up cluster", ""] {
        let output = served.shell(&format!("{} -XAtc 'SELECT 1'", served.psql));
        let output = text(&output.stderr);
        assert!(
            output.contains(expected) && output.is_empty() == expected.is_empty(),
            "{output}"
        );
    }
    served.signal("-TERM");
    assert!(!ready.exists());
}

#[test]
fn a_connection_to_localhost_gets_a_hint() {
    let mut served = serve(&[]);
    let psql = served.psql.replace(
        &format!("host={} ", served.exports["DSQL_ENDPOINT"]),
        "host=localhost ",
    );
    let psql = psql
        .replace("sslmode=verify-full", "sslmode=require")
        .replace("sslrootcert=", "application_name=");
    let output = served.shell(&format!("{psql} -c 'SELECT 1'"));
    let output = text(&output.stderr);
    assert!(
        output.contains("\"localhost\" is not the endpoint of a cluster"),
        "{output}"
    );
    assert!(
        output.contains(&format!(
            "Connect to host {}",
            served.exports["DSQL_ENDPOINT"]
        )),
        "{output}"
    );
    let address = psql.replace("host=localhost ", "host=127.0.0.1 ");
    let output = served.shell(&format!("{address} -c 'SELECT 1'"));
    let output = text(&output.stderr);
    assert!(output.contains("sni was not received"), "{output}");
    assert!(
        output.contains("give the endpoint's name as the host"),
        "{output}"
    );
    served.signal("-TERM");
}

#[test]
fn the_readme_names_each_variable() {
    const README: &str = include_str!("../README.md");
    let mut served = serve(&["--peer-region", "us-east-2"]);
    let env = std::fs::read_to_string(served.folder().join("env.sh")).unwrap();
    let names = env
        .lines()
        .filter_map(|line| line.strip_prefix("export ")?.split_once('='));
    let mut named = 0;
    for (name, _) in names {
        assert!(README.contains(&format!("`{name}`")), "{name}");
        named += 1;
    }
    assert!(named > 15, "{env}");
    served.signal("-TERM");
}

#[test]
fn options_may_come_before_the_subcommand() {
    let run = |arguments: &[&str]| Command::new(PROGRAM).args(arguments).output().unwrap();
    let print = ["--", "sh", "-c", "echo $AWS_REGION"];
    let output = run(&[&["--region", "eu-west-1", "exec"], &print[..]].concat());
    assert_eq!(text(&output.stdout), "eu-west-1");

    let mut served = serve(&["--region", "eu-west-1", "serve"]);
    assert_eq!(served.exports["AWS_REGION"], "eu-west-1");
    served.signal("-TERM");

    // An option that the subcommand does not have stays an error.
    let output = run(&["--ready-file", "x", "token"]);
    assert!(text(&output.stderr).contains("--ready-file"), "{output:?}");
}

#[test]
fn the_process_ends_when_the_engine_ends() {
    let mut program = Command::new(PROGRAM)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let file = lines.find_map(|line| {
        Some(
            line.unwrap()
                .strip_prefix("export DSQL_CA_FILE='")?
                .trim_end_matches('\'')
                .to_owned(),
        )
    });
    let file = file.unwrap();
    let folder = Path::new(&file).parent().unwrap();
    let pid = std::fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let killed = Command::new("kill")
        .args(["-KILL", pid.lines().next().unwrap()])
        .status()
        .unwrap();
    assert!(killed.success());
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("the engine ended by itself"),
        "{}",
        text(&output.stderr)
    );
}
