//! Random schedules of sessions, compared with a model: which transactions commit or fail with
//! OC000, what each statement returns, and the final rows. `DSQL_LOCAL_SCHEDULES` sets the number
//! of schedules, `DSQL_LOCAL_FIRST_SCHEDULE` the first one; `DSQL_LOCAL_SCHEDULE` runs a single
//! one.

#[path = "schedules/model.rs"]
mod model;
mod support;

use std::fmt::Write;

use dsql_local::LocalCluster;
use model::{Model, Op};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{connect, run};
use tokio_postgres::{Client, SimpleQueryMessage};

#[tokio::test]
async fn schedules_match_the_model() {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|number| number.parse().ok())
    };
    let seeds: Vec<u64> = match number("DSQL_LOCAL_SCHEDULE") {
        Some(one) => vec![one],
        None => {
            let first = number("DSQL_LOCAL_FIRST_SCHEDULE").unwrap_or(0);
            let count = number("DSQL_LOCAL_SCHEDULES").unwrap_or(100);
            (first..first + count).chain(REGRESSIONS).collect()
        }
    };
    let cluster = LocalCluster::start().await.unwrap();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(connect(&cluster).await);
    }
    run(
        &clients[0],
        &[
            "CREATE TABLE item (id int PRIMARY KEY, n int NOT NULL, u int UNIQUE)",
            "CREATE TABLE parent (id int PRIMARY KEY, n int NOT NULL)",
            "CREATE TABLE child (id int PRIMARY KEY, pid int NOT NULL REFERENCES parent)",
        ],
    )
    .await;
    let mut conflicts = 0;
    for seed in seeds {
        conflicts += schedule(&cluster, &clients, seed).await;
    }
    println!("{conflicts} conflicts");
}

/// Schedules that once differed from the model.
const REGRESSIONS: [u64; 2] = [4_395, 6_472];

/// Runs one schedule. Returns the number of conflicts.
async fn schedule(cluster: &LocalCluster, clients: &[Client], seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let sessions = random.random_range(2..=clients.len());
    let mut model = Model::default();
    cluster
        .query("DELETE FROM child; DELETE FROM parent; DELETE FROM item")
        .await
        .unwrap();
    let mut trace = String::new();
    let mut conflicts = 0;
    let steps = random.random_range(6..=24);
    for step in 0..steps + sessions {
        let (session, op) = match step {
            0..4 => (0, seeded(step as i32)),
            step if step < steps => {
                let session = random.random_range(0..sessions);
                (session, choose(&mut random, model.is_open(session)))
            }
            step => (step - steps, Op::Commit),
        };
        if op == Op::Commit && !model.is_open(session) {
            continue;
        }
        let expected = model.run(session, op);
        let answer = answer(&clients[session], op, random.random()).await;
        writeln!(trace, "{session}: {op} -> {answer:?}").unwrap();
        let expected = expected.map_err(str::to_owned);
        conflicts += usize::from(expected == Err("40001".to_owned()));
        assert_eq!(answer, expected, "schedule {seed}:\n{trace}");
    }
    let mut left = model.committed;
    let rows = |sql: &'static str| async move { cluster.query(sql).await.unwrap() };
    for row in rows("SELECT id, n, u FROM item").await {
        let number = |at: usize| row[at].as_ref().map(|text| text.parse().unwrap());
        let item = left.item.remove(&number(0).unwrap());
        assert_eq!(
            item,
            Some((number(1).unwrap(), number(2))),
            "schedule {seed}:\n{trace}"
        );
    }
    for (sql, table) in [
        ("SELECT id, n FROM parent", &mut left.parent),
        ("SELECT id, pid FROM child", &mut left.child),
    ] {
        for row in rows(sql).await {
            let number = |at: usize| row[at].as_ref().unwrap().parse::<i32>().unwrap();
            assert_eq!(
                table.remove(&number(0)),
                Some(number(1)),
                "schedule {seed}:\n{trace}"
            );
        }
    }
    assert_eq!(left, model::Tables::default(), "schedule {seed}:\n{trace}");
    conflicts
}

/// The first steps fill the tables.
fn seeded(step: i32) -> Op {
    [
        Op::InsertItem(1, None),
        Op::InsertItem(2, Some(2)),
        Op::InsertParent(1),
        Op::InsertChild(1, 1),
    ][step as usize]
}

fn choose(random: &mut StdRng, is_open: bool) -> Op {
    let mut id = || random.random_range(1..=3);
    let (one, two) = (id(), id());
    match random.random_range(0..30) {
        0..8 if !is_open => Op::Begin,
        0..4 => Op::Commit,
        4 => Op::Rollback,
        5..8 => Op::ReadItems,
        8 => Op::ReadFamily,
        9 | 10 => Op::InsertItem(one, random.random::<bool>().then_some(two)),
        11..14 => Op::AddToItem(one),
        14 => Op::AddToAll,
        15 => Op::SetUnique(one, two),
        16 => Op::MoveItem(one, two),
        17 | 18 => Op::DeleteItem(one),
        19 => Op::LockItem(one),
        20 => Op::ShareItem(one),
        21 | 22 => Op::InsertParent(one),
        23 => Op::AddToParent(one),
        24 | 25 => Op::DeleteParent(one),
        26 | 27 => Op::InsertChild(one, two),
        28 => Op::MoveChild(one, two),
        _ => Op::DeleteChild(one),
    }
}

/// Runs a statement in one of the two protocols.
async fn answer(client: &Client, op: Op, extended: bool) -> Result<(Vec<String>, u64), String> {
    let sql = op.to_string();
    let code = |error: tokio_postgres::Error| match error.code() {
        Some(code) => code.code().to_owned(),
        None => error.to_string(),
    };
    if extended {
        if !sql.starts_with("SELECT") {
            let rows = client.execute(&sql, &[]).await.map_err(code)?;
            return Ok((vec![], rows));
        }
        let rows = client.query(&sql, &[]).await.map_err(code)?;
        let cell = |row: &tokio_postgres::Row, at| {
            let cell: Option<i32> = row.get(at);
            cell.map_or_else(|| "null".to_owned(), |cell| cell.to_string())
        };
        let row =
            |row: tokio_postgres::Row| [cell(&row, 0), cell(&row, 1), cell(&row, 2)].join(" ");
        return Ok((rows.into_iter().map(row).collect(), 0));
    }
    let (mut rows, mut count) = (Vec::new(), 0);
    for message in client.simple_query(&sql).await.map_err(code)? {
        match message {
            SimpleQueryMessage::Row(row) => {
                let cells = (0..row.len()).map(|at| row.get(at).unwrap_or("null"));
                rows.push(cells.collect::<Vec<_>>().join(" "));
            }
            SimpleQueryMessage::CommandComplete(changed) if !sql.starts_with("SELECT") => {
                count = changed;
            }
            _ => {}
        }
    }
    Ok((rows, count))
}
