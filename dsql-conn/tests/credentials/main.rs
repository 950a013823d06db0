//! Every source of credentials that a process can have, one at a time, against fake endpoints.
//!
//! The environment selects the source. Each test runs itself again in a child process with the
//! environment that it describes, and connects there to a local cluster that knows one key.

#![cfg(feature = "aws-config")]

mod fake;
mod rotation;
mod told;

use std::process::Output;
use std::{env, fs};

use dsql_conn::{Config, Reason};
use dsql_local::{Action, Identity, LocalCluster};
use tempfile::TempDir;
use tokio::process::Command;

/// A cluster, the one identity that may connect, and a folder for the files of the test.
struct Account {
    cluster: LocalCluster,
    identity: Identity,
    folder: TempDir,
}

impl Account {
    async fn new() -> Self {
        let cluster = LocalCluster::start()
            .await
            .expect("the tests need a PostgreSQL");
        let identity = cluster.identity("developer", &[Action::DbConnectAdmin]);
        Self {
            cluster,
            identity,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The keys as a section of a shared credentials file.
    fn section(&self, profile: &str) -> String {
        section(profile, &self.identity)
    }

    /// Runs the test again in a child process with the cluster and these variables alone.
    async fn process(&self, test: &str, variables: &[(&str, &str)]) -> Output {
        let address = self.cluster.address();
        let ca_file = self.file("ca.pem", self.cluster.ca_pem());
        Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env_clear()
            .env(CHILD, "1")
            .env("HOME", self.folder.path())
            .env("DSQL_ENDPOINT", self.cluster.endpoint())
            .env("DSQL_HOSTADDR", address.ip().to_string())
            .env("DSQL_PORT", address.port().to_string())
            .env("DSQL_CA_FILE", ca_file)
            // Other tests must not wait for a metadata service.
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_REGION", self.cluster.region())
            .envs(variables.iter().copied())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap()
    }

    async fn connects(&self, test: &str, variables: &[(&str, &str)]) {
        let output = self.process(test, variables).await;
        let printed = String::from_utf8_lossy(&output.stderr);
        let printed = format!("{}{printed}", String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success(), "{printed}");
        assert_eq!(self.cluster.counts().logins, 1, "{printed}");
    }
}

fn section(profile: &str, identity: &Identity) -> String {
    format!(
        "[{profile}]\naws_access_key_id={}\naws_secret_access_key={}\naws_session_token={}\n",
        identity.access_key_id(),
        identity.secret_access_key(),
        identity.session_token().unwrap()
    )
}

/// Returns whether this is the process in which the test connects.
fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

async fn connect() {
    Config::from_env().unwrap().connect().await.unwrap();
}

const CHILD: &str = "DSQL_CONN_TEST_CHILD";

#[tokio::test]
async fn keys_of_the_environment_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let variables = [
        ("AWS_ACCESS_KEY_ID", account.identity.access_key_id()),
        (
            "AWS_SECRET_ACCESS_KEY",
            account.identity.secret_access_key(),
        ),
        (
            "AWS_SESSION_TOKEN",
            account.identity.session_token().unwrap(),
        ),
    ];
    account
        .connects("keys_of_the_environment_sign", &variables)
        .await;
}

#[tokio::test]
async fn keys_of_the_shared_file_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let file = account.file("credentials", &account.section("default"));
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", &*file)];
    account
        .connects("keys_of_the_shared_file_sign", &variables)
        .await;
}

#[tokio::test]
async fn keys_of_the_profile_that_the_environment_names_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let file = account.file("credentials", &account.section("orders"));
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", &*file),
        ("AWS_PROFILE", "orders"),
    ];
    let test = "keys_of_the_profile_that_the_environment_names_sign";
    account.connects(test, &variables).await;
}

#[tokio::test]
async fn keys_of_the_profile_that_the_caller_names_sign() {
    if is_child() {
        let config = Config::from_env().unwrap().profile("orders");
        config.connect().await.unwrap();
        return;
    }
    let account = Account::new().await;
    let file = account.file("credentials", &account.section("orders"));
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", &*file),
        // The caller's profile takes precedence over the environment.
        ("AWS_ACCESS_KEY_ID", "AKIANOBODYKNOWSTHIS0"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    let test = "keys_of_the_profile_that_the_caller_names_sign";
    account.connects(test, &variables).await;
}

#[tokio::test]
async fn keys_that_a_process_prints_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let printed = account.file("keys.json", &fake::process_json(&account.identity));
    let config = format!("[default]\ncredential_process = /bin/cat {printed}\n");
    let config = account.file("config", &config);
    let variables = [("AWS_CONFIG_FILE", &*config)];
    account
        .connects("keys_that_a_process_prints_sign", &variables)
        .await;
}

#[tokio::test]
async fn keys_for_a_web_identity_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let sts = fake::sts(&account.identity).await;
    let token = account.file("token", "a.web.identity");
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &*token),
        ("AWS_ROLE_ARN", account.identity.arn()),
        ("AWS_ENDPOINT_URL_STS", &sts),
    ];
    account
        .connects("keys_for_a_web_identity_sign", &variables)
        .await;
}

#[tokio::test]
async fn keys_of_an_assumed_role_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let sts = fake::sts(&account.identity).await;
    let config = format!(
        "[default]\nrole_arn = {}\nsource_profile = base\n\
         [profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = secret\n",
        account.identity.arn()
    );
    let config = account.file("config", &config);
    let variables = [
        ("AWS_CONFIG_FILE", &*config),
        ("AWS_ENDPOINT_URL_STS", &sts),
    ];
    account
        .connects("keys_of_an_assumed_role_sign", &variables)
        .await;
}

#[tokio::test]
async fn keys_of_the_container_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let container = fake::container(&account.identity).await;
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*container),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", fake::AUTHORIZATION),
    ];
    account
        .connects("keys_of_the_container_sign", &variables)
        .await;
}

#[tokio::test]
async fn keys_of_the_instance_sign() {
    if is_child() {
        return connect().await;
    }
    let account = Account::new().await;
    let imds = fake::imds(&account.identity).await;
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*imds),
    ];
    account
        .connects("keys_of_the_instance_sign", &variables)
        .await;
}

#[tokio::test]
async fn no_source_of_credentials_is_reported_with_the_remedy() {
    if is_child() {
        let error = Config::from_env().unwrap().connect().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Credentials), "{error}");
        assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
        return;
    }
    let account = Account::new().await;
    let output = account
        .process("no_source_of_credentials_is_reported_with_the_remedy", &[])
        .await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert_eq!(account.cluster.counts().accepted, 0);
}

#[tokio::test]
async fn half_a_pair_of_keys_is_reported_by_name() {
    if is_child() {
        let error = Config::from_env().unwrap().connect().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains("AWS_SECRET_ACCESS_KEY is not set"),
            "{error}"
        );
        return;
    }
    let account = Account::new().await;
    let variables = [("AWS_ACCESS_KEY_ID", "AKIA")];
    let output = account
        .process("half_a_pair_of_keys_is_reported_by_name", &variables)
        .await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
}
