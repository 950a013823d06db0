//! A run that is killed anywhere is completed by the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dsql_local::{Direction, Effect, Fault, LocalCluster, Stage};
use dsql_migrate::{Migrator, Progress};
use tokio::time::sleep;

use crate::support::{Mortal, STATEMENTS, Told, applied, clean, cluster, expected, left, shop};

/// When a run dies, relative to a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Death {
    /// The server has not seen the request.
    Before,
    /// The request was applied, and the run has not seen the reply.
    After,
    /// The `COMMIT` did not reach the server.
    BeforeCommit,
    /// The `COMMIT` was applied, and the run has not seen the reply.
    AfterCommit,
}

impl Death {
    fn fault(self) -> Fault {
        match self {
            Self::Before => Fault::at(Stage::Statement, Effect::Cut),
            Self::After => Fault::delay(Direction::ToClient, Duration::from_secs(600)),
            Self::BeforeCommit => Fault::at(Stage::Commit, Effect::Cut),
            Self::AfterCommit => Fault::lose_commit_reply(),
        }
    }
}

/// Returns a migrator that takes over the statements of a killed one at once.
fn impatient() -> Migrator {
    shop().takeover_after(Duration::ZERO)
}

/// Returns a migrator that meets a fault at the request after this many steps.
fn doomed(cluster: &Arc<LocalCluster>, steps: usize, fault: &Fault) -> Migrator {
    let (cluster, fault) = (Arc::clone(cluster), fault.clone());
    let seen = AtomicUsize::new(0);
    impatient().observer(move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == steps {
            cluster.inject(fault.clone());
        }
    })
}

/// Kills a run after this many steps.
async fn kill(cluster: &Arc<LocalCluster>, steps: usize, death: Death) {
    let fault = death.fault();
    let struck = cluster.struck(&fault);
    let migrator = doomed(cluster, steps, &fault);
    let mortal = Mortal::new(cluster);
    let run = tokio::spawn(async move { migrator.up(mortal).await });
    if death == Death::After {
        while cluster.struck(&fault) == struck {
            sleep(Duration::from_millis(1)).await;
        }
        run.abort();
        cluster.cut_all();
    }
    let ended = run.await;
    assert!(
        !matches!(ended, Ok(Ok(_))),
        "{death:?} after {steps}: {ended:?}"
    );
    assert_eq!(
        cluster.struck(&fault),
        struck + 1,
        "{death:?} after {steps}"
    );
    cluster.clear_faults();
}

/// Returns the steps of a run without a fault.
async fn undisturbed(cluster: &Arc<LocalCluster>) -> Vec<Progress> {
    let told = Told::default();
    let report = shop()
        .observer(told.observer())
        .up(&**cluster)
        .await
        .unwrap();
    assert_eq!(applied(&report), STATEMENTS);
    assert_eq!(left(cluster).await, expected());
    clean(cluster).await;
    told.all()
}

async fn dies_at_every_step(death: Death, is_step: impl Fn(&Progress) -> bool) {
    let cluster = cluster().await;
    let steps = undisturbed(&cluster).await;
    let numbers = (0..steps.len()).filter(|number| is_step(&steps[*number]));
    let mut deaths = 0;
    for number in numbers {
        kill(&cluster, number, death).await;
        let resumed = impatient().up(&*cluster).await;
        let resumed = resumed
            .unwrap_or_else(|error| panic!("{death:?} after {}: {}", steps[number], error.chain()));
        assert_eq!(
            left(&cluster).await,
            expected(),
            "{death:?} after {}",
            steps[number]
        );
        assert!(applied(&resumed) <= STATEMENTS);
        clean(&cluster).await;
        deaths += 1;
    }
    assert!(deaths > 2, "{deaths}");
}

#[tokio::test]
async fn run_killed_before_any_request_is_resumed() {
    dies_at_every_step(Death::Before, |_| true).await;
}

#[tokio::test]
async fn run_killed_after_any_request_is_resumed() {
    dies_at_every_step(Death::After, |_| true).await;
}

/// The steps that record DML: a `COMMIT` follows.
fn commits(step: &Progress) -> bool {
    matches!(step, Progress::Recording(place)
        if matches!((&*place.name, place.statement), ("0002_rows", 1 | 2) | ("0005_products", 5)))
}

#[tokio::test]
async fn run_killed_before_a_commit_is_resumed() {
    dies_at_every_step(Death::BeforeCommit, commits).await;
}

#[tokio::test]
async fn run_killed_after_a_commit_is_resumed() {
    dies_at_every_step(Death::AfterCommit, commits).await;
}

#[tokio::test]
async fn run_goes_on_by_itself_after_lost_connections() {
    let cluster = cluster().await;
    let told = Told::default();
    let observer = told.observer();
    let seen = AtomicUsize::new(0);
    let cutting = Arc::clone(&cluster);
    let migrator = shop().observer(move |progress| {
        observer(progress);
        if seen.fetch_add(1, Ordering::Relaxed) % 8 == 7 {
            cutting.inject(Death::Before.fault());
        }
    });
    let report = migrator.up(&*cluster).await.unwrap();
    assert_eq!(applied(&report), STATEMENTS);
    assert_eq!(left(&cluster).await, expected());
    let retries = told.all();
    let retries = retries
        .iter()
        .filter(|step| matches!(step, Progress::Retrying(_)));
    assert!(retries.count() > 3);
}

#[tokio::test]
async fn statement_of_a_killed_run_is_taken_over_in_time() {
    let cluster = cluster().await;
    // The first statement is claimed, but not applied.
    kill(&cluster, 2, Death::Before).await;
    let claims = "SELECT FROM dsql_migrations WHERE claim IS NOT NULL";
    assert_eq!(cluster.query(claims).await.unwrap().len(), 1);

    let told = Told::default();
    let patient = shop()
        .takeover_after(Duration::from_secs(600))
        .observer(told.observer());
    let (cluster, waiting) = (&cluster, "claiming 0001_items.sql:1: statement 1");
    let run = patient.up(&**cluster);
    tokio::pin!(run);
    let aging = async {
        while told.lines().last().is_none_or(|line| line != waiting) {
            sleep(Duration::from_millis(1)).await;
        }
        let age = "UPDATE dsql_migrations SET applied_at = applied_at - interval '1 hour'";
        cluster.query(age).await.unwrap();
    };
    let (report, ()) = tokio::join!(run, aging);
    assert_eq!(applied(&report.unwrap()), STATEMENTS);
    assert_eq!(left(cluster).await, expected());
}
