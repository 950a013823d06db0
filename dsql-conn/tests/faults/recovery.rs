//! Checks that a pool recovers from a fault: no slot, socket or task is lost or left over.

use std::time::{Duration, SystemTime};

use dsql_local::{Counts, LocalCluster};
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::cell::{GUARD, Setup, TICK};

/// Checks a pool after its fault was cleared, serves its next call, and closes it. `are_stuck`:
/// connections that are stuck at the cluster are released once the pool has discarded them.
pub(crate) async fn check(setup: &Setup, are_stuck: bool) -> Result<(), String> {
    let Setup { cluster, pool, .. } = setup;
    let recovery = async {
        let size = pool.stats().max_size;
        // Use all slots at the same time, so that a lost one shows.
        let deadline = SystemTime::now() + 2 * GUARD;
        let checked_out = try_join_all((0..size).map(|_| pool.get_until(deadline))).await;
        let checked_out =
            checked_out.map_err(|error| format!("not every slot can be used: {error}"))?;
        for connection in &checked_out {
            let answer = connection.simple_query("SELECT 1").await;
            answer.map_err(|error| {
                format!("a connection was checked out that does not answer: {error}")
            })?;
        }
        drop(checked_out);

        let stats = pool.stats();
        if (stats.connections, stats.idle) != (size, size) {
            return Err(format!("the full pool is not idle: {stats:?}"));
        }
        // One task for each connection, and the maintenance task. The task of a discarded
        // connection ends even if the server keeps its end open.
        until_alive(size as usize + 1).await?;
        until_open(setup, size.into(), are_stuck).await?;

        let next = async {
            let connection = pool.get_until(deadline).await?;
            connection
                .execute("INSERT INTO note VALUES ('next')", &[])
                .await?;
            Ok::<_, dsql_conn::Error>(())
        };
        next.await
            .map_err(|error| format!("the next call is not served: {error}"))?;

        let cut = pool.close(2 * GUARD).await;
        if cut > 0 {
            return Err(format!("{cut} connections had to be aborted"));
        }
        until_alive(0).await?;
        until_open(setup, 0, are_stuck).await
    };
    match timeout(GUARD, recovery).await {
        Ok(result) => result,
        Err(_) => Err(format!(
            "did not recover within {GUARD:?}; pool: {:?}; cluster: {:?}; tasks: {}",
            pool.stats(),
            cluster.counts(),
            alive()
        )),
    }
}

/// Waits until exactly this many sockets are open, in both Regions together, and at most as many
/// backends.
async fn until_open(setup: &Setup, open: u64, are_stuck: bool) -> Result<(), String> {
    let cluster = &setup.cluster;
    let counts = || [Some(cluster), cluster.peer()].map(|region| region.map(LocalCluster::counts));
    soon(
        || {
            if are_stuck {
                // Do this each time: a connection may meet its fault after the call has ended.
                cluster.release();
            }
            let sum = |count: fn(&Counts) -> u64| counts().iter().flatten().map(count).sum::<u64>();
            sum(|counts| counts.open) == open && sum(|counts| counts.backends) <= open
        },
        || format!("{open} sockets expected: {:?}", counts()),
    )
    .await
}

/// Waits until this many tasks are alive.
pub(crate) async fn until_alive(tasks: usize) -> Result<(), String> {
    soon(
        || alive() == tasks,
        || format!("{tasks} tasks expected, {} alive", alive()),
    )
    .await
}

fn alive() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Waits until a condition holds.
async fn soon(condition: impl Fn() -> bool, otherwise: impl Fn() -> String) -> Result<(), String> {
    let holds = async {
        while !condition() {
            sleep(TICK).await;
        }
    };
    timeout(SOON, holds).await.map_err(|_| otherwise())
}

const SOON: Duration = Duration::from_secs(20);
