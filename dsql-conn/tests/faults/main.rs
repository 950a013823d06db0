//! Every fault at every stage of a connection's life: what the caller sees, by which deadline, and
//! that the pool is whole afterwards.
//!
//! `docs/faults.md` is the same as a table. `DSQL_WRITE_FAULTS=1 cargo test -p dsql-conn --test
//! faults` writes it.

mod cell;
mod door;
mod expected;
mod fault;
mod seen;
mod stage;
mod table;
mod whole;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cell::Cell;
use expected::{Row, row};
use fault::Fault;
use seen::Seen;
use stage::Stage;

/// Runs the cells of a stage, a few at a time, and names those that fail.
fn holds(stage: Stage) {
    let cells: Vec<_> = Fault::all()
        .filter_map(|fault| match row(stage, fault) {
            Row::Impossible(_) => None,
            Row::Possible(expected) => Some((fault, expected)),
        })
        .flat_map(|(fault, expected)| {
            let ways = stage.ways().iter().copied();
            assert_eq!(ways.len(), expected.len(), "{stage:?}, {fault:?}");
            let met = ways
                .zip(expected)
                .filter(|(_, expected)| expected.seen != Seen::Impossible);
            met.map(move |(way, expected)| Cell {
                stage,
                fault,
                way,
                expected,
            })
        })
        .collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                let mut spare = None;
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(failure) = cell.run(&mut spare) {
                        let failure = format!(
                            "{} / {} / {}: expected {}, but {failure}",
                            stage.title(),
                            cell.fault,
                            cell.way.title(),
                            cell.expected
                        );
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} cells failed:\n{}",
        failures.len(),
        cells.len(),
        failures.join("\n")
    );
}

/// Most cells wait for a deadline most of the time.
const AT_A_TIME: usize = 8;

#[test]
fn dns() {
    holds(Stage::Dns);
}

#[test]
fn tcp() {
    holds(Stage::Tcp);
}

#[test]
fn tls_hello() {
    holds(Stage::TlsHello);
}

#[test]
fn tls_finished() {
    holds(Stage::TlsFinished);
}

#[test]
fn startup() {
    holds(Stage::Startup);
}

#[test]
fn password() {
    holds(Stage::Password);
}

#[test]
fn ready() {
    holds(Stage::Ready);
}

#[test]
fn idle() {
    holds(Stage::Idle);
}

#[test]
fn query_sent() {
    holds(Stage::QuerySent);
}

#[test]
fn rows_half_read() {
    holds(Stage::RowsHalfRead);
}

#[test]
fn commit_sent() {
    holds(Stage::CommitSent);
}

#[test]
fn commit_applied() {
    holds(Stage::CommitApplied);
}

#[test]
fn return_to_pool() {
    holds(Stage::ReturnToPool);
}

#[test]
fn the_table_is_the_one_in_the_docs() {
    table::print_and_compare();
}
