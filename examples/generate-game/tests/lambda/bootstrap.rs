//! The bootstrap: once, repeated, concurrent, and after it was killed.

use std::time::{Duration, SystemTime};

use dsql_conn::Reason;
use dsql_local::{Action, Direction, Fault, Refusal};
use generate_game::bootstrap::{Outcome, admitted, bootstrap};
use lambda_http::http::StatusCode;
use serde_json::json;
use tokio::time::sleep;

use crate::account::{Account, body, config};

#[tokio::test]
async fn second_bootstrap_changes_nothing() {
    let account = Account::new().await;
    let mut admin = account.admin().await;
    let first = bootstrap(&mut admin, &account.grantee()).await.unwrap();
    assert!(
        !first.iter().any(|step| step.outcome == Outcome::Present),
        "{first:?}"
    );
    let second = bootstrap(&mut admin, &account.grantee()).await.unwrap();
    assert!(
        !second.iter().any(|step| step.outcome == Outcome::Created),
        "{second:?}"
    );
    assert_eq!(first.len(), second.len());
}

#[tokio::test]
async fn bootstraps_that_race_both_succeed() {
    let account = Account::new().await;
    let (mut one, mut other) = tokio::join!(account.admin(), account.admin());
    let grantee = account.grantee();
    let (one, other) = tokio::join!(
        bootstrap(&mut one, &grantee),
        bootstrap(&mut other, &grantee)
    );
    one.unwrap();
    other.unwrap();
    let answer = account.games().call("POST", "/games", "").await;
    assert_eq!(answer.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn programs_at_once_and_another_leave_one_of_each() {
    let account = Account::new().await;
    let runs = tokio::join!(account.run_bootstrap(), account.run_bootstrap());
    for run in [runs.0, runs.1] {
        assert!(run.status.success(), "{run:?}");
    }
    assert_eq!(account.made().await, account.one_of_each());

    let again = account.run_bootstrap().await;
    assert!(again.status.success(), "{again:?}");
    let said = String::from_utf8(again.stdout).unwrap();
    assert!(!said.contains("created"), "{said}");
    assert_eq!(account.made().await, account.one_of_each());
}

#[tokio::test]
async fn next_run_completes_a_program_killed_at_any_statement() {
    for statements in 1.. {
        let account = Account::new().await;
        // Leaves time to kill the program between two statements.
        let slow = Fault::delay(Direction::ToClient, Duration::from_millis(2));
        account.cluster.inject(slow.always());
        let mut killed = account.start_bootstrap();
        let has_run = || {
            let connections = account.cluster.connections();
            connections.first().map_or(0, |one| one.flights.len())
        };
        while has_run() < statements && killed.try_wait().unwrap().is_none() {
            sleep(Duration::from_millis(1)).await;
        }
        let was_too_late = killed.try_wait().unwrap().is_some();
        killed.kill().await.unwrap();
        account.cluster.clear_faults();

        let next = account.run_bootstrap().await;
        assert!(next.status.success(), "{statements}: {next:?}");
        assert_eq!(account.made().await, account.one_of_each(), "{statements}");
        if was_too_late {
            assert!(statements > 10, "it has more statements than {statements}");
            return;
        }
    }
}

#[tokio::test]
async fn migration_without_its_record_is_applied_again() {
    let account = Account::bootstrapped().await;
    let games = account.games();
    let saved = body(games.call("POST", "/games", "").await);
    let mut admin = account.admin().await;
    admin
        .batch_execute("DELETE FROM games.dsql_migrations")
        .await
        .unwrap();

    bootstrap(&mut admin, &account.grantee()).await.unwrap();

    assert_eq!(account.migrations().await, 4);
    let newest = body(games.call("GET", "/games", "").await);
    assert_eq!(newest["games"], json!([saved]));
}

#[tokio::test]
async fn index_that_a_killed_run_left_unfinished_is_waited_for() {
    let account = Account::bootstrapped().await;
    let index = account.index().await;
    account.forget_index("processing").await;

    let mut admin = account.admin().await;
    let grantee = account.grantee();
    let (steps, ()) = tokio::join!(bootstrap(&mut admin, &grantee), async {
        let waiting = "SELECT FROM pg_stat_activity WHERE query LIKE 'CALL %wait_for_job%'";
        while account.cluster.query(waiting).await.unwrap().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(account.migrations().await, 3, "it is not recorded yet");
        for ending in [
            "UPDATE pg_index SET indisvalid = true WHERE NOT indisvalid",
            "UPDATE pg_toast.dsql_jobs SET status = 'completed'",
        ] {
            account.cluster.query(ending).await.unwrap();
        }
    });

    steps.unwrap();
    assert_eq!(account.migrations().await, 4);
    assert_eq!(
        account.index().await,
        index,
        "it was not built a second time"
    );
}

#[tokio::test]
async fn index_whose_construction_failed_is_built_again() {
    let account = Account::bootstrapped().await;
    let [failed, _] = account.index().await;
    account.forget_index("failed").await;

    let mut admin = account.admin().await;
    bootstrap(&mut admin, &account.grantee()).await.unwrap();

    let [index, valid] = account.index().await;
    assert_ne!(index, failed);
    assert_eq!(valid.as_deref(), Some("t"));
    assert_eq!(account.migrations().await, 4);
}

#[tokio::test]
async fn bootstrap_waits_until_the_admin_is_admitted() {
    let account = Account::new().await;
    let denied = Refusal::NotAuthorized {
        arn: account.cluster.admin().arn().to_owned(),
        action: Action::DbConnectAdmin,
        resource: String::new(),
    };
    account.cluster.inject(Fault::refuse(denied.clone()));
    let config = config(&account.cluster, account.cluster.admin());

    let generous = SystemTime::now() + Duration::from_secs(60);
    admitted(&config, generous).await.unwrap();

    // Awake only after one connect has timed out.
    let asleep = Fault::refuse(Refusal::WakingUp).always();
    account.cluster.inject(asleep.clone());
    let hasty = config.clone().connect_timeout(Duration::from_millis(50));
    let (admitted_late, ()) = tokio::join!(admitted(&hasty, generous), async {
        while account.cluster.struck(&asleep) < 2 {
            sleep(Duration::from_millis(1)).await;
        }
        account.cluster.clear_faults();
    });
    admitted_late.unwrap();

    account.cluster.inject(Fault::refuse(denied).always());
    let refused = admitted(&config, SystemTime::now()).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::NotAuthorized));
}
