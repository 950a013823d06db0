//! Credentials that cannot be fetched: the error has the provider's cause and the remedy, in one
//! line.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use dsql_conn::{Config, Reason};

use crate::{Account, fake, is_child};

/// Connects, and prints the reason and the error for the parent.
async fn tell() {
    let error = Config::from_env().unwrap().connect().await.unwrap_err();
    let reason = error.reason().unwrap();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    println!("\nTOLD {} {error}", reason.as_str());
}

/// Returns the output of a process with these variables.
async fn told(account: &Account, test: &str, variables: &[(&str, &str)]) -> String {
    let output = account.process(test, variables).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    assert_eq!(account.cluster.counts().logins, 0);
    let line = printed.lines().find_map(|line| line.strip_prefix("TOLD "));
    line.unwrap_or_else(|| panic!("{printed}")).to_owned()
}

fn check(said: &str, reason: Reason, words: &[&str]) {
    assert!(said.starts_with(&format!("{} ", reason.as_str())), "{said}");
    for words in words {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
}

#[tokio::test]
async fn unknown_profile_is_named() {
    if is_child() {
        return tell().await;
    }
    let account = Account::new().await;
    let file = account.file("credentials", &account.section("default"));
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", &*file),
        ("AWS_PROFILE", "orders"),
    ];
    let said = told(&account, "told::unknown_profile_is_named", &variables).await;
    let words = [
        "profile `orders` was not defined",
        "; define the profile in ~/.aws/config, or correct AWS_PROFILE",
    ];
    check(&said, Reason::Credentials, &words);
}

#[tokio::test]
async fn half_a_file_names_what_is_missing() {
    if is_child() {
        return tell().await;
    }
    let account = Account::new().await;
    let file = account.file("credentials", "[default]\naws_access_key_id = AKIA1\n");
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", &*file)];
    let said = told(
        &account,
        "told::half_a_file_names_what_is_missing",
        &variables,
    )
    .await;
    let words = [
        "aws_secret_access_key",
        "; complete the profile in ~/.aws/credentials",
    ];
    check(&said, Reason::Credentials, &words);
}

#[tokio::test]
async fn sso_without_a_login_asks_for_one() {
    if is_child() {
        return tell().await;
    }
    let account = Account::new().await;
    let config = "[default]\nsso_session = work\nsso_account_id = 123456789012\n\
                  sso_role_name = developer\n[sso-session work]\nsso_region = us-east-1\n\
                  sso_start_url = https://work.awsapps.com/start\n";
    let file = account.file("config", config);
    let variables = [("AWS_CONFIG_FILE", &*file)];
    let said = told(
        &account,
        "told::sso_without_a_login_asks_for_one",
        &variables,
    )
    .await;
    let words = ["SSO token", "; log in by `aws sso login`"];
    check(&said, Reason::CredentialsUnavailable, &words);
}

#[tokio::test]
async fn refusing_metadata_service_is_named() {
    if is_child() {
        return tell().await;
    }
    let account = Account::new().await;
    let refuses = Router::new().fallback(any(async || StatusCode::FORBIDDEN));
    let imds = fake::serve(refuses).await;
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*imds),
    ];
    let said = told(
        &account,
        "told::refusing_metadata_service_is_named",
        &variables,
    )
    .await;
    let words = [
        "IMDS",
        "; allow this process to use the instance's metadata service",
    ];
    check(&said, Reason::CredentialsUnavailable, &words);
}

#[tokio::test]
async fn instance_without_a_role_is_named() {
    if is_child() {
        return tell().await;
    }
    let account = Account::new().await;
    let session = async || {
        (
            [("x-aws-ec2-metadata-token-ttl-seconds", "21600")],
            "session",
        )
    };
    let router = Router::new().route("/latest/api/token", axum::routing::put(session));
    let imds = fake::serve(router).await;
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", &*imds),
    ];
    let said = told(
        &account,
        "told::instance_without_a_role_is_named",
        &variables,
    )
    .await;
    let words = ["404 from IMDS", "; attach an IAM role to the instance"];
    check(&said, Reason::Credentials, &words);
}

#[tokio::test]
async fn keys_of_an_ended_session_tell_when_it_ended() {
    if is_child() {
        return tell().await;
    }
    let account = Account::new().await;
    let identity = &account.identity;
    account.cluster.expire(identity);
    let variables = [
        ("AWS_ACCESS_KEY_ID", identity.access_key_id()),
        ("AWS_SECRET_ACCESS_KEY", identity.secret_access_key()),
        ("AWS_SESSION_TOKEN", identity.session_token().unwrap()),
        ("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00+00:00"),
    ];
    let test = "told::keys_of_an_ended_session_tell_when_it_ended";
    let said = told(&account, test, &variables).await;
    let words = [
        "expired at 2026-01-01T00:00:00Z",
        "; renew them at their source",
    ];
    check(&said, Reason::CredentialsExpired, &words);
}
