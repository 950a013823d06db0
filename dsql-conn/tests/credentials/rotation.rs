//! Shared credentials files that change while a process has a pool.

use std::{env, fs};

use dsql_conn::{Config, Pool, Reason};
use dsql_local::Action;

use crate::{Account, is_child, section};

/// Opens a connection, waits until the credentials file is replaced, and opens another one.
async fn connect_before_and_after_rotation(config: Config) {
    let pool = Pool::builder(config).max_size(2).build();
    let file = env::var("AWS_SHARED_CREDENTIALS_FILE").unwrap();
    let before = fs::read(&file).unwrap();
    let first = pool.get().await.unwrap();
    while fs::read(&file).unwrap() == before {
        tokio::task::yield_now().await;
    }
    pool.get().await.unwrap();
    drop(first);
}

/// Replaces the keys in the file when the process has connected once, and revokes the old ones.
async fn rotates(test: &str, profile: &str) {
    let account = Account::new().await;
    let file = account.file("credentials", &account.section(profile));
    let successor = account
        .cluster
        .identity("successor", &[Action::DbConnectAdmin]);
    let rotation = async {
        while account.cluster.counts().logins == 0 {
            tokio::task::yield_now().await;
        }
        account.cluster.forget(&account.identity);
        let replacement = account.file("replacement", &section(profile, &successor));
        fs::rename(replacement, &file).unwrap();
    };
    let variables = [("AWS_SHARED_CREDENTIALS_FILE", &*file)];
    let process = account.process(test, &variables);
    tokio::pin!(process);
    // A process that fails before its first login ends the test.
    let output = tokio::select! {
        output = &mut process => output,
        () = rotation => process.await,
    };
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    assert_eq!(account.cluster.counts().logins, 2, "{printed}");
}

#[tokio::test]
async fn keys_replaced_in_the_file_of_a_named_profile_are_read_again() {
    if is_child() {
        let config = Config::from_env().unwrap().profile("orders");
        return connect_before_and_after_rotation(config).await;
    }
    let test = "rotation::keys_replaced_in_the_file_of_a_named_profile_are_read_again";
    rotates(test, "orders").await;
}

#[tokio::test]
async fn keys_replaced_in_a_file_of_the_default_chain_are_read_again() {
    if is_child() {
        return connect_before_and_after_rotation(Config::from_env().unwrap()).await;
    }
    let test = "rotation::keys_replaced_in_a_file_of_the_default_chain_are_read_again";
    rotates(test, "default").await;
}

/// The first attempt fails; the second one finds the profile in the file.
#[tokio::test]
async fn a_profile_that_is_added_to_the_file_is_found() {
    if is_child() {
        let pool = Pool::new(Config::from_env().unwrap().profile("orders"));
        let error = pool.get().await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::Credentials), "{error}");
        assert!(error.to_string().contains("profile \"orders\""), "{error}");
        let complete = env::var("COMPLETE_FILE").unwrap();
        fs::rename(complete, env::var("AWS_SHARED_CREDENTIALS_FILE").unwrap()).unwrap();
        pool.get().await.unwrap();
        return;
    }
    let account = Account::new().await;
    let file = account.file("credentials", &account.section("default"));
    let complete = account.file("complete", &account.section("orders"));
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", &*file),
        ("COMPLETE_FILE", &*complete),
    ];
    let test = "rotation::a_profile_that_is_added_to_the_file_is_found";
    account.connects(test, &variables).await;
}
