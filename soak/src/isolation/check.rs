//! Passes a history to the checker.

use std::time::Duration;

use adya::history::{Interner, Mop, Op as Event, OpType, ReadValue, Scalar};
use adya::{History, Opts, Valid, Workload};

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
/// An attempt with an unknown outcome counts as committed once another one read its items.
pub fn check(attempts: &[Attempt]) -> Findings {
    if !attempts
        .iter()
        .any(|attempt| attempt.outcome == Outcome::Committed)
    {
        // The checker calls a history without a committed transaction unknown.
        return Findings::default();
    }
    let options = Opts {
        models: vec![MODEL.to_owned()],
        timeout: CYCLE_SEARCH,
        ..Opts::default()
    };
    let report = adya::check(&history(attempts), Workload::ListAppend, &options);
    if report.valid == Valid::True {
        return Findings::default();
    }
    let named = report.anomalies.values().flat_map(|found| {
        let named = found.iter().take(MOST_NAMED);
        named.map(|anomaly| format!("{}: {}", anomaly.kind, anomaly.explanation))
    });
    Findings {
        explanations: named.collect(),
        kinds: report.anomaly_types,
    }
}

/// Translates the attempts: each is a process of its own, which ends with it.
fn history(attempts: &[Attempt]) -> History {
    let mut interner = Interner::default();
    let mut events = Vec::with_capacity(2 * attempts.len());
    for (process, attempt) in (0..).zip(attempts) {
        let end = match attempt.outcome {
            Outcome::Committed => OpType::Ok,
            Outcome::NotCommitted => OpType::Fail,
            Outcome::Unknown => OpType::Info,
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
