//! `Pool::close` with statements and transactions in flight.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, RetryPolicy, Transaction};
use dsql_local::{Direction, Effect, Fault, LocalCluster, Refusal, Stage};
use futures_util::FutureExt;
use tokio::sync::Notify;

use crate::close::{LONG, SHORT, all_sent_terminate, run_until};
use crate::support::{cluster_with_pool, notes, until};

#[tokio::test]
async fn query_that_ends_before_the_timeout_is_answered() {
    let (cluster, pool) = cluster_with_pool().await;
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
    all_sent_terminate(&cluster).await;
}

#[tokio::test]
async fn query_is_aborted_at_the_timeout_and_may_have_applied() {
    let (cluster, pool) = cluster_with_pool().await;
    let hold = Hold::on(&cluster).await;
    let connection = pool.get().await.unwrap();
    let mut query = pin!(connection.execute(HELD_INSERT, &[]));
    hold.reached_by(&mut query).await;

    assert_eq!(pool.close(SHORT).await, 1);
    let result = query.now_or_never().expect("it has ended");
    let error = result.unwrap_err();
    assert!(error.is_connection_lost(), "{error}");
    assert!(error.may_have_applied());
    assert!(connection.is_closed());
    // The server continues to run the statement without its client.
    hold.release().await;
    while notes(&cluster).await == 0 {}
    until(&cluster, |counts| counts.open == 0).await;
}

#[tokio::test]
async fn transaction_that_ends_before_the_timeout_is_committed() {
    let (cluster, pool) = cluster_with_pool().await;
    let go_on = Notify::new();
    let mut transaction = pin!(pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        go_on.notified().await;
        tx.execute("INSERT INTO note VALUES ('two')", &[]).await?;
        Ok(())
    }));
    let before = cluster.counts().statements;
    let begun = until(&cluster, |counts| counts.statements == before + 2);
    run_until(&mut transaction, begun).await;

    let mut closing = pin!(pool.close(LONG));
    assert!((&mut closing).now_or_never().is_none());
    go_on.notify_one();
    let (result, cut) = tokio::join!(transaction, closing);
    result.unwrap();
    assert_eq!(cut, 0);
    assert_eq!(notes(&cluster).await, 2);
    all_sent_terminate(&cluster).await;
}

#[tokio::test]
async fn transaction_is_aborted_at_the_timeout_and_not_applied() {
    for waits_for_the_server in [true, false] {
        let (cluster, pool) = cluster_with_pool().await;
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
        run_until(&mut transaction, begun).await;

        assert_eq!(pool.close(SHORT).await, 1);
        let result = transaction.now_or_never().expect("it has ended");
        let error = result.unwrap_err();
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
async fn commit_is_unknown_if_its_reply_misses_the_timeout() {
    let never_read = Fault::at(Stage::Commit, Effect::Stall);
    let never_answered = Fault::delay(Direction::ToClient, Duration::from_secs(3_600));
    for (fault, applied) in [(never_read, 0), (never_answered, 1)] {
        for policy in [RetryPolicy::new(), RetryPolicy::new().idempotent()] {
            let (cluster, pool) = cluster_with_pool().await;
            let runs = AtomicU32::new(0);
            let mut transaction = pin!(pool.transaction_with(policy, async |tx: Transaction| {
                runs.fetch_add(1, Ordering::SeqCst);
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                cluster.inject(fault.clone());
                Ok::<_, Error>(())
            }));
            let held = until(&cluster, |_| cluster.struck(&fault) == 1);
            run_until(&mut transaction, held).await;

            assert_eq!(pool.close(SHORT).await, 1);
            let result = transaction.now_or_never().expect("it has ended");
            let error = result.unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::CommitUnknown {
                        source: Some(_),
                        ..
                    }
                ),
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
async fn transaction_between_two_attempts_ends_at_once() {
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
        let (cluster, pool) = cluster_with_pool().await;
        if is_in_doubt {
            cluster.inject(Fault::lose_commit_reply());
        }
        let (runs, last_run) = (AtomicU32::new(0), u32::from(is_in_doubt));
        let transaction = pool.transaction_with(policy, async |tx: Transaction| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            // The reply to BEGIN arrives before the fault.
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
            // The transaction has rolled back, and no reply is pending.
            let connections = cluster.connections();
            let last = connections.last().map(|connection| &connection.flights);
            cluster.struck(fault) == 1
                && last.is_some_and(|flights| flights.last().is_some_and(|last| last == "Q"))
                && counts.backends == 1
        });
        run_until(&mut transaction, answered).await;

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
async fn connection_returned_with_a_statement_counts_as_idle() {
    let (cluster, pool) = cluster_with_pool().await;
    let silence = Fault::at(Stage::Statement, Effect::Stall);
    cluster.inject(silence.clone());
    let connection = pool.get().await.unwrap();
    let mut query = Box::pin(connection.query("SELECT 1", &[]));
    let sent = until(&cluster, |_| cluster.struck(&silence) == 1);
    run_until(&mut query, sent).await;
    drop(query);
    drop(connection);
    assert_eq!(pool.close(SHORT).await, 0);
}

/// A function of the database, `held()`, that returns once the test releases it.
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

    /// Runs a call until the server runs its statement.
    async fn reached_by(&self, call: impl Future + Unpin) {
        let reached = until(self.cluster, |counts| counts.statements > self.statements);
        run_until(call, reached).await;
    }

    async fn release(self) {
        let release = "SELECT pg_advisory_unlock(1)";
        self.cluster.query(release).await.unwrap();
    }
}

const HELD_INSERT: &str = "INSERT INTO note SELECT 'one' WHERE held() = 1";
