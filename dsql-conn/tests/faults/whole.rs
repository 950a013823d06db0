//! Whether nothing is lost or left over in a pool after a fault: places, sockets, tasks.

use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::cell::{Bench, GUARD, TICK};

/// Checks a pool that no fault strikes any more, serves its next call, and closes it. Connections
/// that are stuck at the cluster are released only once the pool has given them up.
pub(crate) async fn check(bench: &Bench, are_stuck: bool) -> Result<(), String> {
    let Bench { cluster, pool, .. } = bench;
    let whole = async {
        let size = pool.stats().max_size;
        // All at once, or a place is lost.
        let deadline = SystemTime::now() + 2 * GUARD;
        let lent = try_join_all((0..size).map(|_| pool.get_until(deadline))).await;
        let lent = lent.map_err(|error| format!("not every place can be filled: {error}"))?;
        for connection in &lent {
            let answer = connection.simple_query("SELECT 1").await;
            answer
                .map_err(|error| format!("a connection is lent that does not answer: {error}"))?;
        }
        drop(lent);

        let stats = pool.stats();
        if (stats.connections, stats.idle) != (size, size) {
            return Err(format!("a full pool at rest: {stats:?}"));
        }
        // One task for each connection, and the pool's own. The task of a connection that was
        // discarded ends, whether or not the server lets go of it.
        until_alive(size as usize + 1).await?;
        until_open(bench, size.into(), are_stuck).await?;

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
            return Err(format!("{cut} connections had to be cut"));
        }
        until_alive(0).await?;
        until_open(bench, 0, are_stuck).await
    };
    match timeout(GUARD, whole).await {
        Ok(result) => result,
        Err(_) => Err(format!(
            "not whole within {GUARD:?}; pool: {:?}; cluster: {:?}; tasks: {}",
            pool.stats(),
            cluster.counts(),
            alive()
        )),
    }
}

/// Waits until this many sockets are open, and no more backends than that.
async fn until_open(bench: &Bench, open: u64, are_stuck: bool) -> Result<(), String> {
    let cluster = &bench.cluster;
    soon(
        || {
            if are_stuck {
                // Each time: a connection may come to its fault after the call has ended.
                cluster.release();
            }
            let counts = cluster.counts();
            counts.open == open && counts.backends <= open
        },
        || format!("{open} sockets expected: {:?}", cluster.counts()),
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

/// Waits until a condition holds that is to hold without anyone's help.
async fn soon(condition: impl Fn() -> bool, otherwise: impl Fn() -> String) -> Result<(), String> {
    let holds = async {
        while !condition() {
            sleep(TICK).await;
        }
    };
    timeout(SOON, holds).await.map_err(|_| otherwise())
}

const SOON: Duration = Duration::from_secs(20);
