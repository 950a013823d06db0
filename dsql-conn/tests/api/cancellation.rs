//! Calls dropped at every await point: the next checkout is clean, and no slot is lost.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use dsql_conn::{Error, Pool};
use dsql_local::LocalCluster;
use futures_util::future::{join_all, try_join_all};

use crate::support::{Clock, builder, cluster, config, ends_arrive, until};

/// Polls a call until it has waited `steps` times, and drops it at the next wait. Returns whether
/// it ended before.
pub(crate) async fn dropped_after(steps: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    let mut waits = 0;
    poll_fn(|cx| match call.as_mut().poll(cx) {
        Poll::Ready(_) => Poll::Ready(true),
        Poll::Pending if waits == steps => Poll::Ready(false),
        Poll::Pending => {
            waits += 1;
            Poll::Pending
        }
    })
    .await
}

/// The state of the pool before the calls.
#[derive(Debug, Clone, Copy)]
enum State {
    /// With a connection that was just used.
    Warm,
    /// With a connection that needs a ping.
    Idle,
    /// With an expired connection.
    Expired,
    /// With a connection that was cut.
    Dead,
}

const STATES: [State; 4] = [State::Warm, State::Idle, State::Expired, State::Dead];

/// The call that is dropped.
#[derive(Debug, Clone, Copy)]
enum Call {
    Checkout,
    /// Prepares the statement, then runs it.
    Statement,
    /// Several replies to one message.
    Batch,
    /// Reads rows one at a time.
    Rows,
    /// A transaction by hand, whose connection is returned as it is.
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

/// A pool under test, and the rows that it is expected to have written.
struct Bench {
    cluster: LocalCluster,
    clock: Clock,
    pool: Pool,
    /// The number of calls so far, which is the number of the next call.
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
                ends_arrive(self.cluster.address().port()).await;
            }
        }
    }

    /// Makes a call, which writes its number.
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

    /// Makes a call and drops it. Returns whether it ended before.
    async fn dropped(&mut self, call: Call, steps: usize) -> bool {
        self.calls += 1;
        dropped_after(steps, self.call(call, self.calls)).await
    }

    /// Checks that both slots are free, that rows can be written, and that each call was applied
    /// once and completely, or not at all.
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
        assert_eq!(self.one(&marks).await, "2", "a row was lost");
        let torn = format!(
            "SELECT count(*) FROM (SELECT FROM mark WHERE call IN ({number} - 1, {number} - 2)
             GROUP BY call HAVING count(*) > 2 OR max(part) > count(*)) calls"
        );
        assert_eq!(
            self.one(&torn).await,
            "0",
            "a transaction was applied in part"
        );
    }

    async fn one(&self, query: &str) -> String {
        self.cluster.query(query).await.unwrap()[0][0]
            .clone()
            .unwrap()
    }
}

/// Drops this call at each of its await points, and a following call at each of its own.
async fn drop_everywhere(state: State, first: Call) -> usize {
    let mut bench = Bench::new().await;
    let mut combinations = 0;
    for steps in 0.. {
        let mut is_over = false;
        for second in [Call::Statement, Call::Transaction] {
            // Every second point, alternating. Combined with the points of the first call these are
            // thousands.
            for later in (steps % 2..).step_by(2) {
                bench.be(state).await;
                is_over = bench.dropped(first, steps).await;
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
