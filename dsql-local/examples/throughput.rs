//! Measures statements per second, with one session and with eight that use different rows. Run
//! with `cargo run --release -p dsql-local --example throughput`.

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use dsql_local::LocalCluster;
use tokio_postgres::Client;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cluster = LocalCluster::start()
        .await
        .expect("PostgreSQL is installed");
    let admin = support::connect(&cluster).await;
    support::run(
        &admin,
        &[
            "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL)",
            "INSERT INTO t SELECT id, 0 FROM generate_series(1, 100) AS id",
        ],
    )
    .await;
    drop(admin);
    for sessions in [1, 8] {
        let mut clients = Vec::new();
        for _ in 0..sessions {
            clients.push(support::connect(&cluster).await);
        }
        for work in [
            Work::Read,
            Work::Autocommit,
            Work::Transaction,
            Work::Script,
        ] {
            let started = Instant::now();
            let runs = clients
                .iter()
                .zip(1..)
                .map(|(client, id)| work.repeat(client, id, started + LENGTH));
            let statements: u32 = futures_util::future::join_all(runs).await.iter().sum();
            let rate = f64::from(statements) / started.elapsed().as_secs_f64();
            println!("{sessions} sessions, {work:?}: {rate:.0} statements/s");
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Work {
    /// A prepared SELECT.
    Read,
    /// A prepared UPDATE.
    Autocommit,
    /// BEGIN, two prepared statements, COMMIT.
    Transaction,
    /// BEGIN, two statements, COMMIT by the simple protocol.
    Script,
}

impl Work {
    async fn repeat(self, client: &Client, id: i32, until: Instant) -> u32 {
        let select = client
            .prepare("SELECT n FROM t WHERE id = $1")
            .await
            .expect("SELECT");
        let update = "UPDATE t SET n = n + 1 WHERE id = $1";
        let update = client.prepare(update).await.expect("UPDATE");
        let mut statements = 0;
        while Instant::now() < until {
            let done = match self {
                Self::Read => client.query(&select, &[&id]).await.map(|_| 1),
                Self::Autocommit => client.execute(&update, &[&id]).await.map(|_| 1),
                Self::Transaction => {
                    async {
                        client.batch_execute("BEGIN").await?;
                        client.query(&select, &[&id]).await?;
                        client.execute(&update, &[&id]).await?;
                        client.batch_execute("COMMIT").await?;
                        Ok(4)
                    }
                    .await
                }
                Self::Script => {
                    async {
                        client.batch_execute("BEGIN").await?;
                        for _ in 0..2 {
                            let update = format!("UPDATE t SET n = n + 1 WHERE id = {id}");
                            client.batch_execute(&update).await?;
                        }
                        client.batch_execute("COMMIT").await?;
                        Ok(4)
                    }
                    .await
                }
            };
            statements += done.expect("no session touches another's row");
        }
        statements
    }
}

const LENGTH: Duration = Duration::from_secs(3);
