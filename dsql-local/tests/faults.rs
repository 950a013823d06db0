//! Injected faults: where they apply, and how often.

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use dsql_local::{Direction, Effect, Fault, LocalCluster, Outcome, Refusal, Stage};
use futures_util::StreamExt;
use futures_util::future::join_all;
use support::{connect, connect_as};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_postgres::Client;

const STAGES_OF_THE_LOGIN: [Stage; 6] = [
    Stage::Accept,
    Stage::TlsHello,
    Stage::TlsFinished,
    Stage::Startup,
    Stage::Password,
    Stage::Ready,
];

const THREE_ROWS: &str = "SELECT repeat('x', 100) FROM generate_series(1, 3)";
const NO_PARAMETERS: [i32; 0] = [];

async fn rows(cluster: &LocalCluster) -> usize {
    cluster.query("SELECT FROM t").await.unwrap().len()
}

async fn with_table(cluster: &LocalCluster) -> Client {
    let client = connect(cluster).await;
    client
        .batch_execute("CREATE TABLE t (id int PRIMARY KEY)")
        .await
        .unwrap();
    client
}

fn code(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("none", |code| code.code())
}

#[tokio::test]
async fn login_stages_can_be_cut_reset_or_garbled() {
    let cluster = LocalCluster::start().await.unwrap();
    for stage in STAGES_OF_THE_LOGIN {
        for effect in [Effect::Cut, Effect::Reset, Effect::Garbage] {
            cluster.inject(Fault::at(stage, effect.clone()));
            let connected = connect_as(&cluster, "admin", cluster.admin()).await;
            let error = connected
                .err()
                .unwrap_or_else(|| panic!("{stage:?} {effect:?}"));
            assert!(
                error.as_db_error().is_none(),
                "{stage:?} {effect:?}: {error:?}"
            );
        }
    }
    assert!(
        cluster
            .connections()
            .iter()
            .all(|log| log.outcome == Outcome::Cut)
    );
    connect(&cluster).await;
}

#[tokio::test]
async fn a_reset_resets_and_a_cut_closes() {
    let cluster = LocalCluster::start().await.unwrap();
    // The reset may arrive before connecting has completed.
    let first_read = async || {
        TcpStream::connect(cluster.address())
            .await?
            .read(&mut [0])
            .await
    };
    cluster.inject(Fault::at(Stage::Accept, Effect::Reset));
    assert_eq!(
        first_read().await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    cluster.inject(Fault::at(Stage::Accept, Effect::Cut));
    assert_eq!(first_read().await.unwrap(), 0);
}

#[tokio::test]
async fn login_stages_can_stall_until_released() {
    let cluster = LocalCluster::start().await.unwrap();
    for stage in STAGES_OF_THE_LOGIN {
        cluster.inject(Fault::at(stage, Effect::Stall));
        let stalled = connect_as(&cluster, "admin", cluster.admin());
        let ended = ends_once_released(&cluster, stalled).await;
        assert!(ended.is_err(), "{stage:?}");
    }
}

#[tokio::test]
async fn a_stall_outlasts_the_login_deadline() {
    let deadline = Duration::from_millis(20);
    let cluster = LocalCluster::builder()
        .login_deadline(deadline)
        .start()
        .await
        .unwrap();
    cluster.inject(Fault::at(Stage::Accept, Effect::Stall));
    let mut socket = TcpStream::connect(cluster.address()).await.unwrap();
    assert!(
        tokio::time::timeout(5 * deadline, socket.read(&mut [0]))
            .await
            .is_err()
    );
    cluster.release();
    assert_eq!(socket.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn login_stages_can_trickle() {
    let cluster = LocalCluster::start().await.unwrap();
    for stage in STAGES_OF_THE_LOGIN {
        cluster.inject(Fault::at(stage, Effect::Trickle(Duration::from_micros(1))));
        let client = connect(&cluster).await;
        client.batch_execute("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn a_trickle_ends_when_released() {
    let cluster = LocalCluster::start().await.unwrap();
    for stage in STAGES_OF_THE_LOGIN {
        let trickle = Effect::Trickle(Duration::from_secs(3600));
        cluster.inject(Fault::at(stage, trickle));
        let connected = connect_as(&cluster, "admin", cluster.admin());
        assert!(ends_once_released(&cluster, connected).await.is_err());
    }
}

/// Waits for something that ends when stalls are released. Releases repeatedly: on a busy machine
/// the stall may begin later.
async fn ends_once_released<T>(cluster: &LocalCluster, stuck: impl Future<Output = T>) -> T {
    tokio::pin!(stuck);
    let brief = Duration::from_millis(50);
    let early = tokio::time::timeout(brief, &mut stuck).await;
    assert!(early.is_err(), "nothing keeps it");
    loop {
        cluster.release();
        if let Ok(ended) = tokio::time::timeout(brief, &mut stuck).await {
            return ended;
        }
    }
}

#[tokio::test]
async fn refusals_apply_the_set_number_of_times() {
    let cluster = LocalCluster::start().await.unwrap();
    for (refusal, code, message) in [
        (
            Refusal::WakingUp,
            "08006",
            "unable to accept connection, waking up cluster, please retry later",
        ),
        (
            Refusal::TooManyConnections,
            "53300",
            "Unable to accept connection, too many open connections.",
        ),
        (
            Refusal::RateExceeded,
            "53400",
            "Unable to accept connection, rate exceeded.",
        ),
        (
            Refusal::signature_expired(),
            "08006",
            "unable to accept connection, access denied",
        ),
    ] {
        for stage in STAGES_OF_THE_LOGIN {
            cluster.inject(Fault::at(stage, Effect::Refuse(refusal.clone())).times(2));
            for _ in 0..2 {
                let refused = connect_as(&cluster, "admin", cluster.admin())
                    .await
                    .unwrap_err();
                let error = refused
                    .as_db_error()
                    .unwrap_or_else(|| panic!("{stage:?}: {refused:?}"));
                assert_eq!(
                    (error.severity(), error.code().code(), error.message()),
                    ("FATAL", code, message)
                );
            }
            connect(&cluster).await;
        }
        assert_eq!(cluster.counts().refused(|counted| *counted == refusal), 12);
    }
}

#[tokio::test]
async fn a_failed_statement_keeps_the_session() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let insert = client.prepare("INSERT INTO t VALUES ($1)").await.unwrap();
    for refusal in [Refusal::ServerUnavailable, Refusal::SchemaChanged] {
        cluster.inject(Fault::refuse(refusal.clone()).times(3));
        for failed in [
            client
                .batch_execute("INSERT INTO t VALUES (1)")
                .await
                .unwrap_err(),
            client
                .prepare("INSERT INTO t VALUES ($1)")
                .await
                .unwrap_err(),
            client.execute(&insert, &[&1]).await.unwrap_err(),
        ] {
            let error = failed.as_db_error().unwrap();
            assert_eq!(
                (error.severity(), error.message()),
                ("ERROR", &*refusal.message())
            );
            assert_eq!(error.code().code(), refusal.sqlstate());
        }
    }
    client.execute(&insert, &[&1]).await.unwrap();
    assert_eq!(rows(&cluster).await, 1);
}

#[tokio::test]
async fn a_statement_fault_fails_its_transaction() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    client.batch_execute("BEGIN").await.unwrap();
    client
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    cluster.inject(Fault::refuse(Refusal::SchemaChanged));
    assert_eq!(
        code(
            &client
                .batch_execute("INSERT INTO t VALUES (2)")
                .await
                .unwrap_err()
        ),
        "40001"
    );
    assert_eq!(
        code(
            &client
                .batch_execute("INSERT INTO t VALUES (2)")
                .await
                .unwrap_err()
        ),
        "25P02"
    );
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(rows(&cluster).await, 0);
}

#[tokio::test]
async fn conflicting_commits_roll_back() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut client = with_table(&cluster).await;
    cluster.inject(Fault::conflict_commits(2));
    for id in 0..3 {
        // None of these commits anything.
        client.batch_execute("SELECT 1").await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
        let transaction = client.transaction().await.unwrap();
        transaction
            .execute("INSERT INTO t VALUES ($1)", &[&id])
            .await
            .unwrap();
        let committed = transaction.commit().await;
        if id < 2 {
            let error = committed.unwrap_err();
            let error = error.as_db_error().unwrap();
            assert_eq!((error.severity(), error.code().code()), ("ERROR", "40001"));
            assert_eq!(
                error.message(),
                "change conflicts with another transaction (OC000)"
            );
        } else {
            committed.unwrap();
        }
    }
    assert_eq!(rows(&cluster).await, 1);
}

#[tokio::test]
async fn a_prepared_commit_can_conflict() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    let (begin, commit) = (
        client.prepare("BEGIN").await.unwrap(),
        client.prepare("COMMIT").await.unwrap(),
    );
    cluster.inject(Fault::conflict_commits(1));
    for (id, outcome) in [(1, "40001"), (2, "committed")] {
        client.execute(&begin, &[]).await.unwrap();
        client
            .execute("INSERT INTO t VALUES ($1)", &[&id])
            .await
            .unwrap();
        let committed = client.execute(&commit, &[]).await;
        assert_eq!(
            committed.as_ref().map_or_else(code, |_| "committed"),
            outcome
        );
    }
    assert_eq!(
        cluster.query("SELECT id FROM t").await.unwrap(),
        [[Some("2".to_owned())]]
    );
}

#[tokio::test]
async fn a_conflict_rolls_back_a_whole_simple_query() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = with_table(&cluster).await;
    cluster.inject(Fault::conflict_commits(1));
    let text = "BEGIN; INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)";
    assert_eq!(
        code(&client.batch_execute(text).await.unwrap_err()),
        "40001"
    );
    assert_eq!(rows(&cluster).await, 0);
    client.batch_execute(text).await.unwrap();
    assert_eq!(rows(&cluster).await, 2);
}

#[tokio::test]
async fn a_commit_reply_can_be_lost() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut client = with_table(&cluster).await;
    cluster.inject(Fault::lose_commit_reply());
    let transaction = client.transaction().await.unwrap();
    transaction
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(error.as_db_error().is_none(), "{error:?}");
    assert!(client.batch_execute("SELECT 1").await.is_err());
    assert_eq!(rows(&cluster).await, 1);
}

#[tokio::test]
async fn every_effect_applies_after_a_commit() {
    let cluster = LocalCluster::start().await.unwrap();
    let shutdown = Refusal::Custom {
        fatal: true,
        sqlstate: "57P01".into(),
        message: "terminating connection".into(),
        hint: None,
    };
    for (id, effect) in [
        Effect::Refuse(shutdown),
        Effect::Reset,
        Effect::Garbage,
        Effect::Stall,
        Effect::Trickle(Duration::from_secs(3600)),
        Effect::Trickle(Duration::from_micros(1)),
    ]
    .into_iter()
    .enumerate()
    {
        let client = connect(&cluster).await;
        let table = "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)";
        client.batch_execute(table).await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        let insert = format!("INSERT INTO t VALUES ({id})");
        client.batch_execute(&insert).await.unwrap();
        cluster.inject(Fault::at(Stage::Committed, effect.clone()));
        let commit = client.batch_execute("COMMIT");
        let committed = match &effect {
            Effect::Trickle(pause) if pause.as_secs() == 0 => {
                commit.await.unwrap();
                client.batch_execute("SELECT 1").await
            }
            Effect::Stall | Effect::Trickle(_) => ends_once_released(&cluster, commit).await,
            _ => commit.await,
        };
        assert_eq!(
            committed.is_ok(),
            matches!(effect, Effect::Trickle(pause) if pause.as_secs() == 0),
            "{effect:?}: {committed:?}"
        );
        assert_eq!(rows(&cluster).await, id + 1, "{effect:?}");
    }
}

#[tokio::test]
async fn every_effect_applies_between_rows() {
    let cluster = LocalCluster::start().await.unwrap();
    for effect in [
        Effect::Cut,
        Effect::Reset,
        Effect::Garbage,
        Effect::Stall,
        Effect::Refuse(Refusal::TooManyConnections),
    ] {
        let client = connect(&cluster).await;
        cluster.inject(Fault::at(Stage::Rows, effect.clone()));
        // A result of one row has no second row.
        client.query("SELECT 1", &[]).await.unwrap();
        let mut seen = 0;
        let taken = async {
            let rows = client.query_raw(THREE_ROWS, NO_PARAMETERS).await?;
            tokio::pin!(rows);
            while let Some(row) = rows.next().await {
                row?;
                seen += 1;
            }
            Ok::<_, tokio_postgres::Error>(())
        };
        let taken = match effect {
            Effect::Stall => ends_once_released(&cluster, taken).await,
            _ => taken.await,
        };
        assert!(taken.is_err(), "{effect:?}");
        // A reset discards what the client has not read yet, as does a close over unread bytes.
        // Garbage discards the rows that were read together with it.
        match effect {
            Effect::Stall | Effect::Refuse(_) => assert_eq!(seen, 1, "{effect:?}"),
            _ => assert!(seen <= 1, "{effect:?}"),
        }
    }
}

#[tokio::test]
async fn an_error_after_the_first_row_fails_the_transaction() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    let refusal = Effect::Refuse(Refusal::ServerUnavailable);
    for is_in_transaction in [false, true] {
        if is_in_transaction {
            client.batch_execute("BEGIN").await.unwrap();
        }
        cluster.inject(Fault::at(Stage::Rows, refusal.clone()));
        let rows = client.query_raw(THREE_ROWS, NO_PARAMETERS).await.unwrap();
        tokio::pin!(rows);
        rows.next().await.unwrap().expect("the first row is whole");
        let error = rows.next().await.unwrap().unwrap_err();
        assert_eq!(code(&error), "XX000");
        let next = client.batch_execute("SELECT 1").await;
        assert_eq!(
            next.as_ref().map_or_else(code, |()| "served"),
            if is_in_transaction { "25P02" } else { "served" }
        );
    }
}

#[tokio::test]
async fn every_effect_applies_to_idle_sessions() {
    let cluster = LocalCluster::start().await.unwrap();
    for effect in [
        Effect::Cut,
        Effect::Reset,
        Effect::Garbage,
        Effect::Refuse(Refusal::TooManyConnections),
        Effect::Trickle(Duration::from_secs(3600)),
        Effect::Stall,
    ] {
        // Idle sessions of earlier iterations would take the faults.
        while cluster.counts().open > 0 {
            tokio::task::yield_now().await;
        }
        let (fresh, used) = (connect(&cluster).await, connect(&cluster).await);
        let in_transaction = connect(&cluster).await;
        used.batch_execute("SELECT 1").await.unwrap();
        in_transaction.batch_execute("BEGIN").await.unwrap();
        let fault = Fault::at(Stage::Idle, effect.clone()).times(3);
        cluster.inject(fault.clone());
        while cluster.struck(&fault) < 3 {
            tokio::task::yield_now().await;
        }
        let clients = [fresh, used, in_transaction];
        let statements = join_all(
            clients
                .iter()
                .map(|client| client.batch_execute("SELECT 1")),
        );
        let ended = match effect {
            Effect::Stall | Effect::Trickle(_) => ends_once_released(&cluster, statements).await,
            _ => statements.await,
        };
        assert!(ended.iter().all(Result::is_err), "{effect:?}");
        // The fault was set to apply three times.
        let next = connect(&cluster).await;
        next.batch_execute("SELECT 1").await.unwrap();
    }
}

#[tokio::test]
async fn an_applied_commit_can_be_misreported() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut client = with_table(&cluster).await;
    cluster.inject(Fault::misreport_commit(Refusal::ServerUnavailable));
    let transaction = client.transaction().await.unwrap();
    transaction
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    assert_eq!(code(&transaction.commit().await.unwrap_err()), "XX000");
    client.batch_execute("SELECT 1").await.unwrap();
    assert_eq!(rows(&cluster).await, 1);
}

#[tokio::test]
async fn a_commit_can_be_cut_before_it_is_applied() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut client = with_table(&cluster).await;
    cluster.inject(Fault::at(Stage::Commit, Effect::Cut));
    let transaction = client.transaction().await.unwrap();
    transaction
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    assert!(
        transaction
            .commit()
            .await
            .unwrap_err()
            .as_db_error()
            .is_none()
    );
    assert_eq!(rows(&cluster).await, 0);
}

#[tokio::test]
async fn open_connections_can_be_cut_reset_or_black_holed() {
    let cluster = LocalCluster::start().await.unwrap();
    for befall in [LocalCluster::cut_all, LocalCluster::reset_all] {
        let client = connect(&cluster).await;
        client.batch_execute("SELECT 1").await.unwrap();
        befall(&cluster);
        assert!(client.batch_execute("SELECT 1").await.is_err());
    }
    let client = connect(&cluster).await;
    cluster.black_hole_all();
    let query = client.batch_execute("SELECT 1");
    tokio::pin!(query);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), &mut query)
            .await
            .is_err()
    );
    // Later connections are not affected.
    connect(&cluster)
        .await
        .batch_execute("SELECT 1")
        .await
        .unwrap();
    cluster.release();
    assert!(query.await.is_err());
    let counts = cluster.counts();
    assert_eq!((counts.cut, counts.reset, counts.black_holed), (1, 1, 1));
}

#[tokio::test]
async fn bytes_can_be_delayed_in_both_directions() {
    let cluster = LocalCluster::start().await.unwrap();
    let client = connect(&cluster).await;
    client.batch_execute("SELECT 1").await.unwrap();
    let by = Duration::from_millis(30);
    for direction in [Direction::ToServer, Direction::ToClient] {
        cluster.inject(Fault::delay(direction, by).always());
        let start = std::time::Instant::now();
        client.batch_execute("SELECT 1").await.unwrap();
        assert!(start.elapsed() >= by, "{direction:?}");
        cluster.clear_faults();
    }
}
