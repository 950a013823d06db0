//! Passes a history to the checker.

use std::collections::HashSet;
use std::time::Duration;

use adya::history::{Interner, Mop, Op as Event, OpType, ReadValue, Scalar};
use adya::{History, Opts, Workload};

use super::history::{Attempt, Op};
use crate::journal::Outcome;

/// What the checker found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The kinds of anomalies, such as `lost-update`.
    pub kinds: Vec<String>,
    /// The first anomalies of each kind, explained.
    pub explanations: Vec<String>,
}

/// Searches the attempts for anomalies that strong snapshot isolation forbids. Their order is of no
/// importance.
///
/// An attempt with an unknown outcome counts as committed if another one read one of its items.
pub fn check(attempts: &[Attempt]) -> Findings {
    let options = Opts {
        models: vec![MODEL.to_owned()],
        timeout: CYCLE_SEARCH,
        ..Opts::default()
    };
    let report = adya::check(&history(attempts), Workload::ListAppend, &options);
    let found = report
        .anomalies
        .iter()
        .filter(|(kind, _)| *kind != NO_DEPENDENCIES);
    let named = found.clone().flat_map(|(_, found)| {
        let named = found.iter().take(MOST_NAMED);
        named.map(|anomaly| format!("{}: {}", anomaly.kind, anomaly.explanation))
    });
    Findings {
        explanations: named.collect(),
        kinds: found.map(|(kind, _)| kind.clone()).collect(),
    }
}

/// Translates the attempts: each is a process of its own, which ends with it.
fn history(attempts: &[Attempt]) -> History {
    let read = read_items(attempts);
    let mut interner = Interner::default();
    let mut events = Vec::with_capacity(2 * attempts.len());
    for (process, attempt) in (0..).zip(attempts) {
        let end = match attempt.outcome {
            Outcome::Committed => OpType::Ok,
            Outcome::NotCommitted => OpType::Fail,
            Outcome::Unknown if attempt.appended().any(|item| read.contains(&item)) => OpType::Info,
            // The checker would take it for committed after everything that was read.
            Outcome::Unknown => OpType::Fail,
        };
        let value: Vec<Mop> = attempt
            .ops
            .iter()
            .map(|op| mop(op, &mut interner))
            .collect();
        let asked = value.iter().map(|mop| match mop {
            Mop::Read { key, .. } => Mop::Read {
                key: *key,
                value: ReadValue::Nil,
            },
            other => other.clone(),
        });
        let asked = asked.collect();
        for (time, kind, value) in [
            (attempt.began, OpType::Invoke, asked),
            (attempt.ended, end, value),
        ] {
            events.push(Event {
                index: time,
                kind,
                process: Some(process),
                value,
                time: None,
            });
        }
    }
    events.sort_by_key(|event| event.index);
    History::from_ops(events, interner)
}

/// All items that committed attempts read.
fn read_items(attempts: &[Attempt]) -> HashSet<i64> {
    let committed = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Committed);
    let items = committed
        .flat_map(|attempt| &attempt.ops)
        .filter_map(|op| match op {
            Op::Read { items, .. } => Some(items),
            Op::Append { .. } => None,
        });
    items.flatten().copied().collect()
}

fn mop(op: &Op, interner: &mut Interner) -> Mop {
    let mut id = |number: i64| interner.intern(Scalar::Int(number));
    match op {
        Op::Append { list, item } => Mop::Append {
            key: id(*list),
            value: id(*item),
        },
        Op::Read { list, items } => Mop::Read {
            key: id(*list),
            value: ReadValue::List(items.iter().map(|item| id(*item)).collect()),
        },
    }
}

/// Snapshot isolation, and a transaction sees all that was committed before it began.
const MODEL: &str = "strong-snapshot-isolation";
const CYCLE_SEARCH: Duration = Duration::from_secs(30);
const MOST_NAMED: usize = 5;
/// The checker reports it for transactions that do not depend on each other.
const NO_DEPENDENCIES: &str = "empty-transaction-graph";
