//! The sweep of old outcomes, as the role that may do nothing else.

use std::process::Output;

use dsql_conn::Config;
use dsql_conn::tokio_postgres::error::SqlState;
use dsql_local::{Action, Identity};
use generate_game::bootstrap::{Grantee, Outcome, admit_sweeper};
use generate_game::sweep::{KEPT, sweep};

use crate::account::{Account, config};

/// An account with a sweeper that the bootstrap admitted.
struct Swept {
    account: Account,
    sweeper: Identity,
}

impl Swept {
    async fn new() -> Self {
        let account = Account::bootstrapped().await;
        let sweeper = account.cluster.identity("sweep", &[Action::DbConnect]);
        let swept = Self { account, sweeper };
        let mut admin = swept.account.admin().await;
        admit_sweeper(&mut admin, &swept.grantee()).await.unwrap();
        swept
    }

    fn grantee(&self) -> Grantee {
        Grantee {
            role: "game_sweeper".parse().unwrap(),
            arn: self.sweeper.arn().parse().unwrap(),
        }
    }

    fn config(&self) -> Config {
        config(&self.account.cluster, &self.sweeper)
            .user("game_sweeper")
            .search_path("games")
    }

    /// Adds outcomes of this age, in seconds.
    async fn add(&self, rows: u32, age: u64) {
        let insert = format!(
            "INSERT INTO games.outcomes (id, committed, at)
             SELECT gen_random_uuid(), true, now() - {age} * interval '1 second'
             FROM generate_series(1, {rows})"
        );
        self.account.cluster.query(&insert).await.unwrap();
    }

    async fn count(&self) -> Option<String> {
        let count = self
            .account
            .cluster
            .query("SELECT count(*) FROM games.outcomes");
        count.await.unwrap()[0][0].clone()
    }

    /// Runs the deployed program.
    async fn run(&self, user: &str) -> Output {
        let mut program = self
            .account
            .command(env!("CARGO_BIN_EXE_sweep"), &self.sweeper);
        program
            .env("DSQL_USER", user)
            .env("DSQL_SEARCH_PATH", "games");
        program.output().await.unwrap()
    }
}

#[tokio::test]
async fn outcomes_are_deleted_after_a_day() {
    let swept = Swept::new().await;
    swept.add(3, KEPT.as_secs() - 60).await;
    swept.add(1_001, KEPT.as_secs() + 60).await;

    let run = swept.run("game_sweeper").await;
    assert!(run.status.success(), "{run:?}");
    assert_eq!(run.stdout, b"deleted 1001 outcomes\n");
    assert_eq!(swept.count().await.as_deref(), Some("3"));
    assert_eq!(sweep(&swept.config()).await.unwrap(), 0);
}

#[tokio::test]
async fn the_sweeper_may_do_nothing_else() {
    let swept = Swept::new().await;
    let connection = swept.config().connect().await.unwrap();
    for statement in [
        "SELECT FROM games",
        "DELETE FROM games",
        "SELECT FROM dsql_migrations",
        "INSERT INTO outcomes (id, committed, at) VALUES (gen_random_uuid(), true, now())",
        "UPDATE outcomes SET committed = false",
    ] {
        let error = connection.batch_execute(statement).await.unwrap_err();
        let refused = Some(&SqlState::INSUFFICIENT_PRIVILEGE);
        assert_eq!(error.code(), refused, "{statement}");
    }
}

#[tokio::test]
async fn the_program_fails_if_the_role_does_not_admit_it() {
    let swept = Swept::new().await;
    let run = swept.run("game").await;
    assert!(!run.status.success(), "{run:?}");
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(said.starts_with("sweep failed: "), "{said}");
    assert!(said.contains("game"), "{said}");
}

#[tokio::test]
async fn the_deployed_bootstrap_admits_the_sweeper_once() {
    let account = Account::new().await;
    let sweeper = account.cluster.identity("sweep", &[Action::DbConnect]);
    let swept = Swept { account, sweeper };
    let admin = swept.account.cluster.admin();
    let mut program = swept
        .account
        .command(env!("CARGO_BIN_EXE_bootstrap"), admin);
    program
        .env("GAME_ROLE_ARN", swept.account.function.arn())
        .env("GAME_SWEEPER_ROLE_ARN", swept.sweeper.arn());
    let run = program.output().await.unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(sweep(&swept.config()).await.unwrap(), 0);

    let mut admin = swept.account.admin().await;
    let again = admit_sweeper(&mut admin, &swept.grantee()).await.unwrap();
    assert!(
        !again.iter().any(|step| step.outcome == Outcome::Created),
        "{again:?}"
    );
}
