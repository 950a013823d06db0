//! Makes the call of a cell, while the fault strikes.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dsql_conn::{Error, Outcomes, Pool, PooledConnection, RetryPolicy, Transaction};
use futures_util::future::{join_all, select};
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::Handle;

use super::setup::{Repeat, Setup};
use super::{Cell, LONG, SHORT};
use crate::outcome::Bound;
use crate::recovery;
use crate::stage::{Call, Stage};

impl Cell {
    /// Brings the pool into the state that the stage needs, and injects a fault that strikes before
    /// the call.
    pub(super) async fn prepare(&self, setup: &Setup) {
        let pool = &setup.pool;
        match self.call {
            Call::Get | Call::GetCancelled | Call::Statement | Call::ByHand | Call::Begin => {}
            Call::GetWhileItLasts | Call::ConnectWhileItLasts | Call::GetWithPeer => {}
            Call::Transaction | Call::TransactionCancelled | Call::TransactionWhileItLasts => {}
            Call::Idempotent | Call::Recorded | Call::RecordedWhileItLasts => {}
            Call::UsedLately | Call::PingDue => {
                warm(pool).await;
                let connections = u64::from(pool.stats().connections);
                self.inject(setup, Repeat::Times(connections as usize));
                setup.until_struck(connections).await;
                if !self.fault.leaves_the_connection_open() {
                    // The client knows it once the connection tasks have ended.
                    recovery::until_alive(1)
                        .await
                        .expect("the connection tasks end");
                }
                return;
            }
            Call::AfterStatement => {
                let connection = check_out(pool).await;
                self.inject(setup, Repeat::Times(1));
                assert!(
                    connection
                        .batch_execute("SELECT 1")
                        .now_or_never()
                        .is_none()
                );
            }
            Call::AfterRows => {
                let connection = check_out(pool).await;
                self.inject(setup, Repeat::Times(1));
                let taking = async {
                    if let Ok(rows) = connection.query_raw(ROWS, NO_PARAMETERS).await {
                        let _ = pin!(rows).next().await;
                    }
                };
                // The first row arrives, or the fault strikes first.
                let struck = setup.until_struck(1);
                select(pin!(taking), pin!(struck)).await;
            }
            Call::AfterBegin => {
                let connection = check_out(pool).await;
                connection.batch_execute("BEGIN").await.expect("BEGIN");
                connection.execute(LEFT, &[]).await.expect("an insert");
                self.inject(setup, Repeat::Times(1));
            }
            Call::AfterRollback => {
                let connection = check_out(pool).await;
                connection.batch_execute("BEGIN").await.expect("BEGIN");
                connection.execute(LEFT, &[]).await.expect("an insert");
                self.inject(setup, Repeat::Times(1));
                let rollback = connection.batch_execute("ROLLBACK").now_or_never();
                assert!(rollback.is_none());
            }
        }
        match self.stage {
            Stage::ReturnToPool => setup.until_struck(1).await,
            Stage::Idle => {}
            Stage::QuerySent
            | Stage::RowsHalfRead
            | Stage::OutcomeSent
            | Stage::CommitSent
            | Stage::CommitApplied => warm(pool).await,
            _ => {}
        }
    }

    pub(super) async fn make_call(&self, setup: &Setup) -> Result<(), Error> {
        let Setup { config, pool, .. } = setup;
        match self.call {
            Call::Get | Call::GetCancelled => {
                self.inject(setup, Repeat::Times(1));
                insert(pool).await
            }
            Call::GetWhileItLasts | Call::GetWithPeer => {
                self.inject(setup, Repeat::UntilCleared);
                insert(pool).await
            }
            Call::ConnectWhileItLasts => {
                self.inject(setup, Repeat::UntilCleared);
                let connection = config.connect().await?;
                connection.execute(INSERT, &[]).await?;
                Ok(())
            }
            Call::UsedLately
            | Call::PingDue
            | Call::AfterStatement
            | Call::AfterRows
            | Call::AfterBegin
            | Call::AfterRollback => insert(pool).await,
            Call::Statement => {
                self.inject(setup, Repeat::Times(1));
                let connection = pool.get().await?;
                match self.stage {
                    Stage::RowsHalfRead => connection.query(ROWS, &[]).await.map(drop)?,
                    _ => connection.execute(INSERT, &[]).await.map(drop)?,
                }
                Ok(())
            }
            Call::ByHand => {
                self.inject(setup, Repeat::Times(1));
                let connection = pool.get().await?;
                connection.batch_execute("BEGIN").await?;
                connection.execute(INSERT, &[]).await?;
                connection.batch_execute("COMMIT").await
            }
            Call::Begin => {
                self.inject(setup, Repeat::Times(1));
                self.transact(setup, |_| false).await
            }
            Call::Transaction
            | Call::TransactionCancelled
            | Call::Idempotent
            | Call::Recorded
            | Call::RecordedWhileItLasts => self.transact(setup, |run| run == 0).await,
            Call::TransactionWhileItLasts if self.stage == Stage::QuerySent => {
                self.inject(setup, Repeat::UntilCleared);
                self.transact(setup, |_| false).await
            }
            Call::TransactionWhileItLasts => self.transact(setup, |_| true).await,
        }
    }

    /// Inserts by `Pool::transaction_with`. `is_due` selects the attempts that meet the fault.
    async fn transact(&self, setup: &Setup, is_due: impl Fn(u32) -> bool) -> Result<(), Error> {
        let runs = AtomicU32::new(0);
        let is_due = || is_due(runs.fetch_add(1, Ordering::SeqCst));
        setup
            .pool
            .transaction_with(self.policy(), async |tx: Transaction| {
                let is_due = is_due();
                let strike = || match self.call {
                    // Later attempts and their settling meet it, too.
                    Call::RecordedWhileItLasts if is_due => {
                        self.inject(setup, Repeat::UntilCleared);
                    }
                    _ if is_due => self.inject(setup, Repeat::Times(1)),
                    _ => {}
                };
                if self.stage == Stage::QuerySent {
                    strike();
                }
                match self.call {
                    Call::Idempotent => tx.execute(INSERT_IF_ABSENT, &[]).await?,
                    _ => tx.execute(INSERT, &[]).await?,
                };
                match self.stage {
                    Stage::QuerySent => {}
                    Stage::RowsHalfRead => {
                        strike();
                        tx.query(ROWS, &[]).await?;
                    }
                    _ => strike(),
                }
                Ok(())
            })
            .await
    }

    fn policy(&self) -> RetryPolicy {
        let pause = Duration::from_millis(1);
        let deadline = match self.expected.bound {
            // Longer, so that the fault strikes before it passes.
            Bound::Deadline => 5 * SHORT,
            _ => LONG,
        };
        let policy = RetryPolicy::new()
            .backoff(pause, pause)
            .schema_backoff(pause, pause)
            .timeout(deadline);
        match self.call {
            Call::Idempotent => policy.idempotent(),
            Call::Recorded | Call::RecordedWhileItLasts => policy.outcomes(OUTCOMES),
            _ => policy,
        }
    }
}

async fn insert(pool: &Pool) -> Result<(), Error> {
    pool.get().await?.execute(INSERT, &[]).await?;
    Ok(())
}

async fn check_out(pool: &Pool) -> PooledConnection {
    let connection = pool.get().await.expect("a connection");
    connection
        .batch_execute("SELECT 1")
        .await
        .expect("an answer");
    connection
}

/// Opens as many connections as the pool may have, and uses each.
async fn warm(pool: &Pool) {
    let size = pool.stats().max_size;
    join_all((0..size).map(|_| check_out(pool))).await;
    assert_eq!(
        pool.stats().idle,
        size,
        "all were checked out at the same time"
    );
    let alive = Handle::current().metrics().num_alive_tasks();
    assert_eq!(
        alive,
        size as usize + 1,
        "one for each, and the maintenance task"
    );
}

const OUTCOMES: Outcomes = Outcomes::in_schema("public", "outcome");
const INSERT: &str = "INSERT INTO note VALUES ('called')";
const INSERT_IF_ABSENT: &str = "INSERT INTO note VALUES ('called') ON CONFLICT (text) DO NOTHING";
const LEFT: &str = "INSERT INTO note VALUES ('left')";
const ROWS: &str = "SELECT repeat('x', 100) FROM generate_series(1, 10)";
const NO_PARAMETERS: [i32; 0] = [];
