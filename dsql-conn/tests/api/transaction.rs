//! Transactions: applied once, or reported as what they are.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dsql_conn::tokio_postgres::error::SqlState;
use dsql_conn::{Error, RetryPolicy, RollbackCause, Transaction};
use dsql_local::{Effect, Fault, Refusal, Stage};
use futures_util::FutureExt;

use crate::support::{bank, builder, cluster, config, notes, pool, until};

#[tokio::test]
async fn a_transaction_borrows_its_surroundings_inside_a_spawned_task() {
    let (cluster, pool) = bank().await;
    let text = String::from("one");
    let inserted = tokio::spawn(async move {
        pool.transaction(async |tx| {
            let inserted = tx.execute("INSERT INTO note VALUES ($1)", &[&text]).await?;
            Ok(inserted)
        })
        .await
    });
    assert_eq!(inserted.await.unwrap().unwrap(), 1);
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn a_conflict_at_commit_runs_the_body_again_on_the_same_connection() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::conflict_commits(3));
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx| {
        runs.fetch_add(1, Ordering::SeqCst);
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(runs.into_inner(), 4);
    assert_eq!(notes(&cluster).await, 1);
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn a_transaction_that_runs_again_keeps_its_connection_from_those_who_wait() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::conflict_commits(2));
    let order = Mutex::new(Vec::new());
    let transaction = async {
        let body = async |tx: Transaction| {
            order.lock().unwrap().push("body");
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await
        };
        pool.transaction(body).await.unwrap()
    };
    let waiting = async {
        let _connection = pool.get().await.unwrap();
        order.lock().unwrap().push("next");
    };
    tokio::join!(biased; transaction, waiting);
    assert_eq!(*order.lock().unwrap(), ["body", "body", "body", "next"]);
}

#[tokio::test]
async fn a_body_without_a_statement_commits_whatever_patience_there_is_for_others() {
    let (cluster, _) = bank().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::ZERO)
        .build();
    for _ in 0..20 {
        pool.transaction(async |_| Ok(())).await.unwrap();
    }
}

#[tokio::test]
async fn a_conflict_at_a_statement_runs_the_body_again() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::at(
        Stage::Statement,
        Effect::Refuse(Refusal::SchemaChanged),
    ));
    pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn a_conflict_that_the_body_swallowed_runs_it_again() {
    let (cluster, pool) = bank().await;
    let runs = AtomicU32::new(0);
    pool.transaction(async |tx| {
        if runs.fetch_add(1, Ordering::SeqCst) == 0 {
            let fault = Effect::Refuse(Refusal::Conflict);
            cluster.inject(Fault::at(Stage::Statement, fault));
        }
        let _ = tx.execute("INSERT INTO note VALUES ('one')", &[]).await;
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(runs.into_inner(), 2);
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn conflicts_without_end_are_given_up_with_the_last_one() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::conflict_commits(1000));
    let policy = RetryPolicy::default().max_attempts(3);
    let error: Error = pool
        .transaction_with(policy, async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Conflict { attempts: 3, last } if last.message().contains("OC000")),
        "{error}"
    );
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn real_writers_of_one_row_all_get_through() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 8);
    let connection = pool.get().await.unwrap();
    connection
        .batch_execute("CREATE TABLE counter (id int PRIMARY KEY, value int)")
        .await
        .unwrap();
    connection
        .batch_execute("INSERT INTO counter VALUES (1, 0)")
        .await
        .unwrap();
    drop(connection);
    let policy = RetryPolicy::default().max_attempts(1000);
    let writers = (0..8).map(|_| async {
        for _ in 0..5 {
            pool.transaction_with(policy, async |tx| {
                let row = tx
                    .query_one("SELECT value FROM counter WHERE id = 1", &[])
                    .await?;
                let next = row.get::<_, i32>(0) + 1;
                tx.execute("UPDATE counter SET value = $1 WHERE id = 1", &[&next])
                    .await?;
                Ok::<_, Error>(())
            })
            .await
            .unwrap();
        }
    });
    futures_util::future::join_all(writers).await;
    let value = cluster.query("SELECT value FROM counter").await.unwrap();
    assert_eq!(value[0][0].as_deref(), Some("40"));
}

#[tokio::test]
async fn a_failed_statement_that_the_body_swallowed_is_no_success() {
    let (cluster, pool) = bank().await;
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            let _ = tx.execute("SELECT 1 / 0", &[]).await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::RolledBack(RollbackCause::StatementFailed(_))),
        "{error}"
    );
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    assert_eq!(notes(&cluster).await, 0);
}

#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("sold out")]
    SoldOut,
    #[error(transparent)]
    Database(#[from] Error),
}

#[tokio::test]
async fn the_bodys_own_error_rolls_back_and_comes_out_as_it_is() {
    let (cluster, pool) = bank().await;
    let result: Result<(), OrderError> = pool
        .transaction_with(RetryPolicy::default(), async |tx| {
            let inserted = tx.execute("INSERT INTO note VALUES ('one')", &[]).await;
            inserted?;
            Err(OrderError::SoldOut)
        })
        .await;
    assert!(matches!(result, Err(OrderError::SoldOut)));
    assert_eq!(notes(&cluster).await, 0);
    assert_eq!(cluster.counts().logins, 1);
}

#[tokio::test]
async fn a_statement_that_fails_is_not_run_again() {
    let (cluster, pool) = bank().await;
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one'), ('one')", &[])
                .await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_handle_that_outlives_its_body_keeps_it_from_being_committed() {
    let (cluster, pool) = bank().await;
    let escaped = Mutex::new(None);
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            *escaped.lock().unwrap() = Some(tx.clone());
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TransactionEscaped), "{error}");
    let handle = escaped.into_inner().unwrap().unwrap();
    assert!(handle.batch_execute("COMMIT").await.is_err());
    until(&cluster, |counts| counts.open == 0).await;
    assert_eq!(notes(&cluster).await, 0);
    drop(handle);
    pool.get().await.unwrap();
}

#[tokio::test]
async fn a_handle_that_outlives_a_dropped_transaction_does_not_go_on_without_it() {
    let (cluster, pool) = bank().await;
    let escaped = Mutex::new(None);
    let mut transaction = Box::pin(pool.transaction(async |tx| {
        tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
        *escaped.lock().unwrap() = Some(tx.clone());
        std::future::pending::<()>().await;
        Ok(())
    }));
    while escaped.lock().unwrap().is_none() {
        assert!((&mut transaction).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(transaction);
    let handle = escaped.into_inner().unwrap().unwrap();
    let applied = handle.execute("INSERT INTO note VALUES ('two')", &[]).await;
    assert!(applied.is_err());
    drop(handle);
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_body_that_gives_its_statement_up_gets_its_own_error() {
    let cluster = cluster().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::from_millis(50))
        .build();
    for outcome in [Err(Error::PoolClosed), Ok(())] {
        let outcome = Mutex::new(Some(outcome));
        let result = pool
            .transaction(async |tx| {
                cluster.inject(Fault::at(Stage::Statement, Effect::Stall));
                let statement = tx.batch_execute("SELECT 1");
                let _ = tokio::time::timeout(Duration::from_millis(50), statement).await;
                outcome.lock().unwrap().take().unwrap()
            })
            .await;
        assert!(
            matches!(result, Err(Error::PoolClosed | Error::RolledBack(_))),
            "{result:?}"
        );
    }
    pool.get()
        .await
        .unwrap()
        .query("SELECT 1", &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_to_commit_that_leaves_doubt_is_an_unknown_outcome() {
    for (sqlstate, is_unknown) in [
        ("XX000", true),
        ("40003", true),
        ("08007", true),
        ("23503", false),
        ("54000", false),
    ] {
        let (cluster, pool) = bank().await;
        cluster.inject(Fault::at(
            Stage::Commit,
            Effect::Refuse(Refusal::Custom {
                fatal: false,
                sqlstate: sqlstate.into(),
                message: "made up".into(),
                hint: None,
            }),
        ));
        let error = pool
            .transaction(async |tx| {
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert_eq!(
            matches!(error, Error::CommitUnknown { .. }),
            is_unknown,
            "{sqlstate}: {error}"
        );
    }
}

#[tokio::test]
async fn a_statement_that_the_body_did_not_await_is_part_of_the_transaction() {
    let (cluster, pool) = bank().await;
    pool.transaction(async |tx| {
        let queued = tx
            .batch_execute("INSERT INTO note VALUES ('queued')")
            .now_or_never();
        assert!(queued.is_none());
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn a_rollback_that_the_body_did_not_await_is_no_success() {
    let (cluster, pool) = bank().await;
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            assert!(tx.batch_execute("ROLLBACK").now_or_never().is_none());
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TransactionEnded), "{error}");
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_lost_reply_to_commit_is_an_unknown_outcome() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::lose_commit_reply());
    let runs = AtomicU32::new(0);
    let error = pool
        .transaction(async |tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error}");
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(notes(&cluster).await, 1);
    pool.get().await.unwrap();
}

#[tokio::test]
async fn an_unavailable_server_at_commit_is_an_unknown_outcome() {
    let (cluster, pool) = bank().await;
    cluster.inject(Fault::at(
        Stage::Commit,
        Effect::Refuse(Refusal::ServerUnavailable),
    ));
    let error = pool
        .transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::CommitUnknown { .. }), "{error}");
}

#[tokio::test]
async fn a_dropped_transaction_leaves_a_clean_connection() {
    let (cluster, pool) = bank().await;
    for steps in 0..12 {
        let mut transaction = Box::pin(pool.transaction(async |tx| {
            tx.execute("INSERT INTO note VALUES ('dropped')", &[])
                .await?;
            std::future::pending::<()>().await;
            Ok(())
        }));
        for _ in 0..steps {
            assert!((&mut transaction).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(transaction);
        let connection = pool.get().await.unwrap();
        let row = connection
            .query_one("SELECT count(*) FROM note", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), 0, "after {steps} steps");
    }
    assert_eq!(cluster.counts().logins, 1, "on the same connection");
    assert_eq!(notes(&cluster).await, 0);
}

#[tokio::test]
async fn a_body_that_panics_leaves_a_clean_connection() {
    let (cluster, pool) = bank().await;
    let panicked = tokio::spawn({
        let pool = pool.clone();
        async move {
            pool.transaction(async |tx| {
                tx.execute("INSERT INTO note VALUES ('one')", &[]).await?;
                if tx.is_closed() {
                    return Ok(());
                }
                panic!("on purpose")
            })
            .await
        }
    });
    assert!(panicked.await.unwrap_err().is_panic());
    let connection = pool.get().await.unwrap();
    connection
        .execute("INSERT INTO note VALUES ('two')", &[])
        .await
        .unwrap();
    assert_eq!(notes(&cluster).await, 1);
}

#[tokio::test]
async fn the_futures_may_move_between_threads() {
    fn is_send<T: Send>(future: T) -> T {
        future
    }

    let (_cluster, pool) = bank().await;
    let pool = Arc::new(pool);
    drop(is_send(pool.get()));
    drop(is_send(pool.close(Duration::ZERO)));
    drop(is_send(pool.transaction(async |_| Ok(()))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_patience_for_what_was_given_up_is_none_less_for_what_was_not() {
    let (cluster, _) = bank().await;
    let pool = builder(config(&cluster))
        .max_size(1)
        .settle_timeout(Duration::ZERO)
        .build();
    for number in 0..300 {
        let insert = format!("INSERT INTO note VALUES ('{number}')");
        let inserted = pool.transaction(async |tx| Ok(tx.batch_execute(&insert).await?));
        inserted.await.unwrap();
    }
    assert_eq!(notes(&cluster).await, 300);
}
