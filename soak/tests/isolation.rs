//! The checker finds each anomaly that snapshot isolation forbids, and accepts what it allows.

use soak::Outcome::{self, Committed, NotCommitted, Unknown};
use soak::isolation::{Attempt, Op, check};

fn append(list: i64, item: i64) -> Op {
    Op::Append { list, item }
}

fn read(list: i64, items: &[i64]) -> Op {
    Op::Read {
        list,
        items: items.into(),
    }
}

/// Attempts that begin before any ends.
fn concurrent<const N: usize>(attempts: [(Outcome, Vec<Op>); N]) -> Vec<Attempt> {
    let attempts = (0..).zip(attempts);
    attempts
        .map(|(index, (outcome, ops))| Attempt {
            began: index,
            ended: 100 + index,
            outcome,
            ops,
        })
        .collect()
}

/// Attempts one after the other.
fn in_order<const N: usize>(attempts: [(Outcome, Vec<Op>); N]) -> Vec<Attempt> {
    let mut attempts = concurrent(attempts);
    for attempt in &mut attempts {
        attempt.began *= 2;
        attempt.ended = attempt.began + 1;
    }
    attempts
}

fn finds(kind: &str, attempts: &[Attempt]) {
    let findings = check(attempts);
    assert!(
        findings.kinds.iter().any(|found| found == kind),
        "{findings:?}"
    );
    assert!(!findings.explanations.is_empty());
}

fn accepts(attempts: &[Attempt]) {
    let findings = check(attempts);
    assert!(findings.kinds.is_empty(), "{findings:?}");
}

#[test]
fn a_lost_update_is_found() {
    for seen in [vec![1, 2], vec![1]] {
        finds(
            "lost-update",
            &concurrent([
                (Committed, vec![read(1, &[]), append(1, 1)]),
                (Committed, vec![read(1, &[]), append(1, 2)]),
                (Committed, vec![read(1, &seen)]),
            ]),
        );
    }
}

#[test]
fn a_write_cycle_is_found() {
    finds(
        "G0",
        &concurrent([
            (Committed, vec![append(1, 1), append(2, 3)]),
            (Committed, vec![append(1, 2), append(2, 4)]),
            (Committed, vec![read(1, &[1, 2]), read(2, &[4, 3])]),
        ]),
    );
}

#[test]
fn an_aborted_read_is_found() {
    finds(
        "G1a",
        &concurrent([
            (NotCommitted, vec![append(1, 1)]),
            (Committed, vec![read(1, &[1])]),
        ]),
    );
}

#[test]
fn an_intermediate_read_is_found() {
    finds(
        "G1b",
        &concurrent([
            (Committed, vec![append(1, 1), append(1, 2)]),
            (Committed, vec![read(1, &[1])]),
        ]),
    );
}

#[test]
fn a_circular_information_flow_is_found() {
    finds(
        "G1c",
        &concurrent([
            (Committed, vec![append(1, 1), read(2, &[2])]),
            (Committed, vec![append(2, 2), read(1, &[1])]),
        ]),
    );
}

#[test]
fn a_read_of_two_snapshots_is_found() {
    finds(
        "G-single-item",
        &concurrent([
            (Committed, vec![append(1, 1), append(2, 2)]),
            (Committed, vec![read(1, &[1]), read(2, &[])]),
            (Committed, vec![read(2, &[2])]),
        ]),
    );
}

#[test]
fn snapshots_that_cannot_be_ordered_are_found() {
    finds(
        "G-nonadjacent-item",
        &concurrent([
            (Committed, vec![append(1, 1)]),
            (Committed, vec![append(2, 2)]),
            (Committed, vec![read(1, &[1]), read(2, &[])]),
            (Committed, vec![read(1, &[]), read(2, &[2])]),
            (Committed, vec![read(1, &[1]), read(2, &[2])]),
        ]),
    );
}

#[test]
fn a_stale_read_is_found() {
    finds(
        "G-single-item-realtime",
        &in_order([
            (Committed, vec![append(1, 1)]),
            (Committed, vec![read(1, &[])]),
            (Committed, vec![read(1, &[1])]),
        ]),
    );
}

#[test]
fn a_read_of_the_future_is_found() {
    finds(
        "G1c-realtime",
        &in_order([
            (Committed, vec![read(1, &[1])]),
            (Committed, vec![append(1, 1)]),
        ]),
    );
}

#[test]
fn a_committed_append_that_vanished_is_found() {
    finds(
        "G-single-item-realtime",
        &in_order([
            (Committed, vec![append(1, 1)]),
            (Committed, vec![read(1, &[])]),
        ]),
    );
}

#[test]
fn a_transaction_that_misses_its_own_append_is_found() {
    finds(
        "internal",
        &concurrent([
            (Committed, vec![append(1, 1), read(1, &[])]),
            (Committed, vec![append(1, 2)]),
        ]),
    );
}

#[test]
fn diverging_lists_are_found() {
    finds(
        "incompatible-order",
        &concurrent([
            (Committed, vec![append(1, 1)]),
            (Committed, vec![append(1, 2)]),
            (Committed, vec![read(1, &[1])]),
            (Committed, vec![read(1, &[2, 1])]),
        ]),
    );
}

#[test]
fn an_unknown_transaction_may_be_read_or_not() {
    for seen in [vec![], vec![1]] {
        accepts(&in_order([
            (Unknown, vec![append(1, 1)]),
            (Committed, vec![read(1, &seen)]),
        ]));
    }
    // Not applied, with a snapshot before the commits of others.
    accepts(&concurrent([
        (Unknown, vec![read(1, &[]), append(2, 1)]),
        (Committed, vec![append(1, 2), append(2, 3)]),
        (Committed, vec![read(1, &[2]), read(2, &[3])]),
    ]));
    // Applied only in part.
    finds(
        "G-single-item",
        &concurrent([
            (Unknown, vec![append(1, 1), append(2, 2)]),
            (Committed, vec![read(1, &[1]), read(2, &[])]),
            (Committed, vec![read(2, &[2])]),
        ]),
    );
}

#[test]
fn write_skew_is_accepted() {
    accepts(&concurrent([
        (Committed, vec![read(1, &[]), read(2, &[]), append(1, 1)]),
        (Committed, vec![read(1, &[]), read(2, &[]), append(2, 2)]),
        (Committed, vec![read(1, &[1]), read(2, &[2])]),
    ]));
}

/// `SOAK_TRANSACTIONS` sets their number.
#[test]
fn many_transactions_are_checked() {
    let number = std::env::var("SOAK_TRANSACTIONS").ok();
    let number = number
        .and_then(|number| number.parse().ok())
        .unwrap_or(5_000);
    let mut lists: Vec<Vec<i64>> = Vec::new();
    let begun = std::time::Instant::now();
    let attempts = (0..number).map(|index: i64| {
        // 300 lists at a time, each of which gets some 24 items.
        let list = |random: i64| index / 7_200 * 300 + random % 300;
        let (from, to) = (list(index * 7_919 % 10_007), list(index * 104_729 % 9_973));
        let last = usize::try_from(from.max(to)).unwrap();
        lists.resize(lists.len().max(last + 1), Vec::new());
        let seen = lists[usize::try_from(from).unwrap()].clone();
        lists[usize::try_from(to).unwrap()].push(index);
        Attempt {
            // 64 at the same time.
            began: u64::try_from(2 * index).unwrap(),
            ended: u64::try_from(2 * index + 129).unwrap(),
            outcome: Committed,
            ops: vec![read(from, &seen), append(to, index)],
        }
    });
    let attempts: Vec<Attempt> = attempts.collect();
    accepts(&attempts);
    println!("{number} transactions in {:?}", begun.elapsed());
}
