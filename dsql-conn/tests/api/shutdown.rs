//! Closing a pool with work under way: the work ends, or is told so by the deadline; what came back
//! says goodbye.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, RetryPolicy, Transaction};
use dsql_local::{Direction, Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::yield_now;

use crate::support::{bank, builder, clocked_pool, cluster, config, notes, pool, until};

#[tokio::test]
async fn a_query_that_ends_within_patience_is_answered() {
    let (cluster, pool) = bank().await;
    let hold = Hold::on(&cluster).await;
    let connection = pool.get().await.unwrap();
    let mut query = Box::pin(connection.query_one("SELECT held()", &[]));
    hold.reached_by(&mut query).await;

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    hold.release().await;
    assert_eq!(query.await.unwrap().get::<_, i32>(0), 1);
    drop(connection);
    assert_eq!(closing.await, 0);
    all_said_goodbye(&cluster).await;
}

#[tokio::test]
async fn a_query_that_outlasts_patience_is_told_so_and_may_have_applied() {
    let (cluster, pool) = bank().await;
    let hold = Hold::on(&cluster).await;
    let connection = pool.get().await.unwrap();
    let mut query = pin!(connection.execute(HELD_INSERT, &[]));
    hold.reached_by(&mut query).await;

    assert_eq!(pool.close(SHORT).await, 1);
    let told = query.now_or_never().expect("it is told by now");
    let error = told.unwrap_err();
    assert!(error.is_connection_lost(), "{error}");
    assert!(error.may_have_applied());
    assert!(connection.is_closed());
    // It goes on without its caller.
    hold.release().await;
    while notes(&cluster).await == 0 {}
    until(&cluster, |counts| counts.open == 0).await;
}

#[tokio::test]
async fn a_transaction_that_ends_within_patience_is_committed() {
    let (cluster, pool) = bank().await;
    let go_on = Notify::new();
    let mut transaction = pin!(pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        go_on.notified().await;
        tx.execute("INSERT INTO note VALUES ('two')", &[]).await?;
        Ok(())
    }));
    let before = cluster.counts().statements;
    let begun = until(&cluster, |counts| counts.statements == before + 2);
    under_way(&mut transaction, begun).await;

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    go_on.notify_one();
    let (result, cut) = tokio::join!(transaction, closing);
    result.unwrap();
    assert_eq!(cut, 0);
    assert_eq!(notes(&cluster).await, 2);
    all_said_goodbye(&cluster).await;
}

#[tokio::test]
async fn a_transaction_that_outlasts_patience_is_told_so_and_not_applied() {
    for waits_for_the_server in [true, false] {
        let (cluster, pool) = bank().await;
        let hold = Hold::on(&cluster).await;
        let runs = AtomicU32::new(0);
        let mut transaction = pin!(pool.transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            match waits_for_the_server {
                true => tx.query("SELECT held()", &[]).await.map(drop)?,
                false => pending().await,
            }
            Ok(())
        }));
        let statements = cluster.counts().statements + 2 + u64::from(waits_for_the_server);
        let begun = until(&cluster, |counts| counts.statements == statements);
        under_way(&mut transaction, begun).await;

        assert_eq!(pool.close(SHORT).await, 1);
        let told = transaction.now_or_never().expect("it is told by now");
        let error = told.unwrap_err();
        assert!(matches!(error, Error::PoolClosed), "{error}");
        hold.release().await;
        until(&cluster, |counts| counts.backends == 0).await;
        assert_eq!(notes(&cluster).await, 0);
        assert_eq!(
            (runs.load(Ordering::SeqCst), cluster.counts().logins),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn a_commit_whose_answer_outlasts_patience_is_an_unknown_outcome() {
    let never_read = Fault::at(Stage::Commit, Effect::Stall);
    let never_answered = Fault::delay(Direction::ToClient, Duration::from_secs(3_600));
    for (fault, applied) in [(never_read, 0), (never_answered, 1)] {
        for policy in [RetryPolicy::new(), RetryPolicy::new().idempotent()] {
            let (cluster, pool) = bank().await;
            let runs = AtomicU32::new(0);
            let mut transaction = pin!(pool.transaction_with(policy, async |tx: Transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                cluster.inject(fault.clone());
                Ok::<_, Error>(())
            }));
            let held = until(&cluster, |_| cluster.struck(&fault) == 1);
            under_way(&mut transaction, held).await;

            assert_eq!(pool.close(SHORT).await, 1);
            let told = transaction.now_or_never().expect("it is told by now");
            let error = told.unwrap_err();
            assert!(
                matches!(error, Error::CommitUnknown { source: Some(_) }),
                "{error}"
            );
            assert!(error.may_have_applied());
            assert_eq!(notes(&cluster).await, applied);
            assert_eq!(
                (runs.load(Ordering::SeqCst), cluster.counts().logins),
                (1, 1)
            );
        }
    }
}

#[tokio::test]
async fn a_transaction_between_two_attempts_is_told_at_once() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);

    let patient = RetryPolicy::new()
        .backoff(DAY, DAY)
        .schema_backoff(DAY, DAY)
        .timeout(7 * DAY);
    let conflict = Fault::conflict_commits(1);
    let unavailable = Fault::at(Stage::Statement, Effect::Refuse(Refusal::ServerUnavailable));
    for (policy, fault, is_in_doubt) in [
        (patient, &conflict, false),
        (patient, &unavailable, false),
        (patient.idempotent(), &conflict, true),
    ] {
        let (cluster, pool) = bank().await;
        if is_in_doubt {
            cluster.inject(Fault::lose_commit_reply());
        }
        let (runs, last_run) = (AtomicU32::new(0), u32::from(is_in_doubt));
        let transaction = pool.transaction_with(policy, async |tx: Transaction| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            // BEGIN is answered before the fault.
            tx.execute("SELECT 1", &[]).await?;
            if run == last_run {
                cluster.inject(fault.clone());
            }
            let insert = "INSERT INTO note VALUES ('one') ON CONFLICT DO NOTHING";
            tx.execute(insert, &[]).await?;
            Ok::<_, Error>(())
        });
        let mut transaction = pin!(transaction);
        let answered = until(&cluster, |counts| {
            // It has rolled back, and nothing is due.
            let connections = cluster.connections();
            let last = connections.last().map(|connection| &connection.flights);
            cluster.struck(fault) == 1
                && last.is_some_and(|flights| flights.last().is_some_and(|last| last == "Q"))
                && counts.backends == 1
        });
        under_way(&mut transaction, answered).await;

        let (cut, result) = tokio::join!(pool.close(LONG), transaction);
        assert_eq!(cut, 0);
        match result.unwrap_err() {
            Error::CommitUnknown { .. } if is_in_doubt => {}
            Error::PoolClosed if !is_in_doubt => {}
            error => panic!("{error}"),
        }
        assert_eq!(runs.load(Ordering::SeqCst), last_run + 1);
        assert_eq!(notes(&cluster).await, usize::from(is_in_doubt));
    }
}

#[tokio::test]
async fn those_who_wait_for_a_connection_are_told_at_once() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let lent = pool.get().await.unwrap();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(pool.get())).collect();
    for checkout in &mut waiting {
        assert!(checkout.now_or_never().is_none());
    }

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    for checkout in waiting {
        let told = checkout.now_or_never().expect("it is told by now");
        assert!(matches!(told, Err(Error::PoolClosed)), "{told:?}");
    }
    drop(lent);
    assert_eq!(closing.await, 0);
    all_said_goodbye(&cluster).await;
}

#[tokio::test]
async fn a_dial_under_way_ends_at_once() {
    let at = |stage| Fault::at(stage, Effect::Stall);
    for fault in [
        at(Stage::Accept),
        at(Stage::TlsHello),
        at(Stage::Password),
        at(Stage::Ready),
        // Between two attempts.
        Fault::refuse(Refusal::WakingUp).always(),
    ] {
        let cluster = cluster().await;
        cluster.inject(fault.clone());
        let pool = builder(config(&cluster)).idle_timeout(None).build();
        let mut checkout = pin!(pool.get());
        let begun = until(&cluster, |_| cluster.struck(&fault) > 0);
        under_way(&mut checkout, begun).await;

        assert_eq!(pool.close(LONG).now_or_never(), Some(0), "{fault:?}");
        let told = checkout.now_or_never().expect("it is told by now");
        assert!(matches!(told, Err(Error::PoolClosed)), "{told:?}");
        until(&cluster, |_| tasks() == 0).await;
    }
}

#[tokio::test]
async fn a_checkout_that_waits_for_a_sign_of_life_is_told_at_once() {
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    drop(pool.get().await.unwrap());
    clock.advance(Duration::from_secs(60));
    let silence = Fault::at(Stage::Statement, Effect::Stall);
    cluster.inject(silence.clone());
    let mut checkout = pin!(pool.get());
    let asked = until(&cluster, |_| cluster.struck(&silence) == 1);
    under_way(&mut checkout, asked).await;

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    let told = checkout.now_or_never().expect("it is told by now");
    assert!(matches!(told, Err(Error::PoolClosed)), "{told:?}");
    assert_eq!(closing.await, 0);
}

#[tokio::test]
async fn what_is_not_lent_says_goodbye_without_any_patience() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 3);
    drop(join_all((0..3).map(|_| pool.get())).await);
    let lent = pool.get().await.unwrap();
    assert_eq!(pool.close(Duration::ZERO).await, 1);
    assert!(lent.is_closed());
    until(&cluster, |counts| counts.open == 0).await;
    let connections = cluster.connections();
    let is_farewell = |flight: &String| flight == "X";
    let farewells = connections
        .iter()
        .filter(|connection| connection.flights.last().is_some_and(is_farewell));
    assert_eq!(farewells.count(), 2);
}

#[tokio::test]
async fn what_came_back_with_a_statement_under_way_is_not_lent() {
    let (cluster, pool) = bank().await;
    let silence = Fault::at(Stage::Statement, Effect::Stall);
    cluster.inject(silence.clone());
    let connection = pool.get().await.unwrap();
    let mut query = Box::pin(connection.query("SELECT 1", &[]));
    let sent = until(&cluster, |_| cluster.struck(&silence) == 1);
    under_way(&mut query, sent).await;
    drop(query);
    drop(connection);
    assert_eq!(pool.close(SHORT).await, 0);
}

#[tokio::test]
async fn a_pool_that_never_lent_is_closed_at_once() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).min_idle(2).build();
    assert_eq!(pool.close(LONG).now_or_never(), Some(0));
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, Error::PoolClosed), "{error}");
    assert_eq!(pool.close(LONG).await, 0);
    assert_eq!((tasks(), cluster.counts().accepted), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_may_be_closed_by_two_tasks_at_once() {
    let cluster = cluster().await;
    for (patience, cut) in [(LONG, 0), (SHORT, 1)] {
        let pool = pool(&cluster, 2);
        let (idle, lent) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        drop(idle);
        let closing = [(); 2].map(|()| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.close(patience).await })
        });
        let kept = (cut == 1).then_some(lent);
        let cuts = join_all(closing).await.into_iter().map(Result::unwrap);
        assert_eq!(cuts.sum::<usize>(), cut);
        assert!(kept.is_none_or(|kept| kept.is_closed()));
        assert_eq!(pool.close(LONG).await, 0);
        until(&cluster, |counts| counts.open == 0).await;
    }
}

#[tokio::test]
async fn the_least_patient_of_those_who_close_decides() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let lent = pool.get().await.unwrap();
    let cut = tokio::join!(pool.close(LONG), pool.close(SHORT));
    assert_eq!(cut, (0, 1));
    assert!(lent.is_closed());
}

#[tokio::test]
async fn the_equally_patient_count_each_connection_once() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let lent = pool.get().await.unwrap();
    // So that both give up in the same moment, before the connection has ended.
    tokio::time::pause();
    let (one, other) = tokio::join!(pool.close(SHORT), pool.close(SHORT));
    assert_eq!(one + other, 1);
    assert!(lent.is_closed());
}

#[tokio::test]
async fn a_close_that_is_dropped_anywhere_leaves_what_is_lent_and_may_be_repeated() {
    let cluster = cluster().await;
    for patience in 0..5 {
        let pool = pool(&cluster, 2);
        let (idle, lent) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        drop(idle);
        {
            let mut closing = pin!(pool.close(LONG));
            for _ in 0..=patience {
                assert!((&mut closing).now_or_never().is_none());
                yield_now().await;
            }
        }
        assert!(matches!(pool.get().await, Err(Error::PoolClosed)));
        lent.query_one("SELECT 1", &[]).await.unwrap();
        drop(lent);
        assert_eq!(pool.close(LONG).await, 0);
        all_said_goodbye(&cluster).await;
    }
}

/// A function of the database, `held()`, that returns when the test lets it.
struct Hold<'a> {
    cluster: &'a LocalCluster,
    statements: u64,
}

impl<'a> Hold<'a> {
    async fn on(cluster: &'a LocalCluster) -> Self {
        const HELD: &str = "CREATE FUNCTION public.held() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.001); END LOOP;
            RETURN 1;
        END $$";
        cluster.query(HELD).await.unwrap();
        cluster.query("SELECT pg_advisory_lock(1)").await.unwrap();
        Self {
            cluster,
            statements: cluster.counts().statements,
        }
    }

    /// Lets a call run until the server works on its statement.
    async fn reached_by(&self, call: impl Future + Unpin) {
        let reached = until(self.cluster, |counts| counts.statements > self.statements);
        under_way(call, reached).await;
    }

    async fn release(self) {
        let release = "SELECT pg_advisory_unlock(1)";
        self.cluster.query(release).await.unwrap();
    }
}

/// Lets a call run until something was seen of it, which must be before its end.
async fn under_way(call: impl Future + Unpin, seen: impl Future<Output = ()>) {
    tokio::select! {
        () = seen => {}
        _ = call => panic!("it came to its end"),
    }
}

/// Waits until every connection has ended, and checks that each did by a Terminate.
async fn all_said_goodbye(cluster: &LocalCluster) {
    until(cluster, |counts| counts.open == 0).await;
    for connection in cluster.connections() {
        let last = connection.flights.last().map(String::as_str);
        assert_eq!(last, Some("X"), "{connection:?}");
    }
}

/// How many tasks the test's runtime has.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

const HELD_INSERT: &str = "INSERT INTO note SELECT 'one' WHERE held() = 1";

/// Patience that is not used up.
const LONG: Duration = Duration::from_secs(60);

/// Patience that is.
const SHORT: Duration = Duration::from_millis(10);
