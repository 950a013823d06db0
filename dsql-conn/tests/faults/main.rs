//! Every fault at every stage of a connection's life: the caller's result, the timeout that ends
//! the call, and whether the pool recovers.
//!
//! docs/faults.md shows the expectations. `DSQL_WRITE_FAULTS=1 cargo test -p dsql-conn --test
//! faults` writes it.

mod cell;
mod expected;
mod fault;
mod outcome;
mod recovery;
mod resolver;
mod stage;
mod table;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cell::Cell;
use expected::{Row, row};
use fault::Fault;
use outcome::Outcome;
use stage::Stage;

/// Runs the cells of a stage, several at a time, and names those that fail.
fn holds(stage: Stage) {
    let cells: Vec<_> = Fault::all()
        .filter_map(|fault| match row(stage, fault) {
            Row::Impossible(_) => None,
            Row::Possible(expected) => Some((fault, expected)),
        })
        .flat_map(|(fault, expected)| {
            let calls = stage.calls().iter().copied();
            assert_eq!(calls.len(), expected.len(), "{stage:?}, {fault:?}");
            let met = calls
                .zip(expected)
                .filter(|(_, expected)| expected.outcome != Outcome::Impossible);
            met.map(move |(call, expected)| Cell {
                stage,
                fault,
                call,
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
                            cell.call.title(),
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

/// Most of a cell's time is spent waiting for a timeout.
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
fn outcome_sent() {
    holds(Stage::OutcomeSent);
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
