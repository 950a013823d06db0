//! Calls dropped at every point where they wait: what was lent next is clean, and no place is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use dsql_conn::{Error, Pool};
use dsql_local::LocalCluster;
use futures_util::future::{join_all, try_join_all};

use crate::support::{Clock, builder, cluster, config, next_packet, until};

/// Runs a call until it waits for the `patience + 1`-th time, and drops it there. Returns whether
/// it came to its end before.
pub(crate) async fn dropped_after(patience: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    let mut waits = 0;
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if waits == patience => Poll::Ready(false),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await
}

/// How the pool stands before the calls.
#[derive(Debug, Clone, Copy)]
enum State {
    /// With a connection that was just used.
    Warm,
    /// With one that has to give a sign of life.
    Idle,
    /// With one that is too old.
    Expired,
    /// With one that was cut.
    Dead,
}

const STATES: [State; 4] = [State::Warm, State::Idle, State::Expired, State::Dead];

/// What is called, and dropped.
#[derive(Debug, Clone, Copy)]
enum Call {
    Checkout,
    /// Prepared and then run.
    Statement,
    /// Several answers to one flight.
    Batch,
    /// Rows that are taken one by one.
    Rows,
    /// A transaction by hand, which is given back as it stands.
    ByHand,
    Transaction,
}

const CALLS: [Call; 6] = [
    Call::Checkout,
    Call::Statement,
    Call::Batch,
    Call::Rows,
    Call::ByHand,
    Call::Transaction,
];

/// A pool that is called, and what it is expected to have written.
struct Bench {
    cluster: LocalCluster,
    clock: Clock,
    pool: Pool,
    /// How many calls were made so far, which is also the number of the next.
    calls: i32,
}

impl Bench {
    async fn new() -> Self {
        let cluster = cluster().await;
        let clock = Clock::default();
        let config = config(&cluster).time_source(clock.clone());
        let pool = builder(config).max_size(2).build();
        let mut connection = pool.get().await.unwrap();
        let create = "CREATE TABLE mark (call int, part int)";
        connection.execute_ddl(create).await.unwrap();
        drop(connection);
        cluster.query("CREATE INDEX ON mark (call)").await.unwrap();
        Self {
            cluster,
            clock,
            pool,
            calls: 0,
        }
    }

    async fn be(&self, state: State) {
        let pass = |time| {
            self.clock.advance(time);
            self.cluster.clock().advance(time);
        };
        drop(self.pool.get().await.unwrap());
        match state {
            State::Warm => {}
            State::Idle => pass(Duration::from_secs(60)),
            State::Expired => pass(Duration::from_secs(3_600)),
            State::Dead => {
                self.cluster.cut_all();
                until(&self.cluster, |counts| counts.open == 0).await;
                next_packet().await;
            }
        }
    }

    /// Makes a call, which marks what it has done by its number.
    async fn call(&self, call: Call, number: i32) -> Result<(), Error> {
        const INSERT: &str = "INSERT INTO mark VALUES ($1, $2)";
        match call {
            Call::Checkout => drop(self.pool.get().await?),
            Call::Statement => {
                let connection = self.pool.get().await?;
                connection.execute(INSERT, &[&number, &1]).await?;
            }
            Call::Batch => {
                let connection = self.pool.get().await?;
                let insert = format!("SELECT 1; INSERT INTO mark VALUES ({number}, 1)");
                connection.batch_execute(&insert).await?;
            }
            Call::Rows => {
                let connection = self.pool.get().await?;
                let rows = "SELECT repeat('x', 1000) FROM generate_series(1, 100)";
                connection.query(rows, &[]).await?;
            }
            Call::ByHand => {
                let connection = self.pool.get().await?;
                connection.batch_execute("BEGIN").await?;
                connection.execute(INSERT, &[&number, &1]).await?;
                connection.execute(INSERT, &[&number, &2]).await?;
                connection.batch_execute("COMMIT").await?;
            }
            Call::Transaction => {
                self.pool
                    .transaction(async |tx| {
                        tx.execute(INSERT, &[&number, &1]).await?;
                        tx.execute(INSERT, &[&number, &2]).await?;
                        Ok(())
                    })
                    .await?;
            }
        }
        Ok(())
    }

    /// Makes a call and drops it. Returns whether it came to its end before.
    async fn dropped(&mut self, call: Call, patience: usize) -> bool {
        self.calls += 1;
        dropped_after(patience, self.call(call, self.calls)).await
    }

    /// Checks that both places are there, that what is written on their connections is written, and
    /// that whatever the calls have done was done as a whole and once.
    async fn check(&mut self) {
        self.calls += 1;
        let number = self.calls;
        let connections = try_join_all([self.pool.get(), self.pool.get()]).await;
        let connections = connections.unwrap();
        let insert = format!("INSERT INTO mark VALUES ({number}, 0)");
        for connection in &connections {
            assert_eq!(connection.execute(&insert, &[]).await.unwrap(), 1);
        }
        drop(connections);
        assert!(self.pool.stats().connections <= 2);

        let marks = format!("SELECT count(*) FROM mark WHERE call = {number}");
        assert_eq!(self.one(&marks).await, "2", "a write was lost");
        let torn = format!(
            "SELECT count(*) FROM (SELECT FROM mark WHERE call IN ({number} - 1, {number} - 2)
             GROUP BY call HAVING count(*) > 2 OR max(part) > count(*)) calls"
        );
        assert_eq!(self.one(&torn).await, "0", "a transaction was torn");
    }

    async fn one(&self, query: &str) -> String {
        self.cluster.query(query).await.unwrap()[0][0]
            .clone()
            .unwrap()
    }
}

/// Drops this call at each of its points, and another one, which follows it, at its own.
async fn drop_everywhere(state: State, first: Call) -> usize {
    let mut bench = Bench::new().await;
    let mut combinations = 0;
    for patience in 0.. {
        let mut is_over = false;
        for second in [Call::Statement, Call::Transaction] {
            // Every other point, in turn: together with what the first call did there are thousands
            // all the same.
            for later in (patience % 2..).step_by(2) {
                bench.be(state).await;
                is_over = bench.dropped(first, patience).await;
                let is_second_over = bench.dropped(second, later).await;
                bench.check().await;
                combinations += 1;
                if is_second_over {
                    break;
                }
            }
        }
        if is_over {
            break;
        }
    }
    bench.pool.close(Duration::from_secs(60)).await;
    until(&bench.cluster, |counts| counts.open == 0).await;
    combinations
}

#[tokio::test]
async fn two_calls_dropped_anywhere_leave_a_clean_pool() {
    let mut combinations = 0;
    for state in STATES {
        let firsts = CALLS.map(|first| drop_everywhere(state, first));
        combinations += join_all(firsts).await.into_iter().sum::<usize>();
    }
    println!("{combinations} combinations");
    assert!(combinations > 1_000, "{combinations}");
}
