//! Counts the answers, those of transactions with an outcome table apart.

use std::collections::BTreeMap;
use std::fmt;

use crate::journal::{CallResult, Outcome};

/// How many answers of each kind the workers got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The answers by kind.
    pub answers: BTreeMap<String, u64>,
    /// The answers of transactions with an outcome table.
    pub recorded: Count,
    /// All other answers.
    pub plain: Count,
}

/// How many answers there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// All of them.
    pub all: u64,
    /// Those that left the outcome unknown.
    pub unknown: u64,
}

impl Tally {
    /// Counts an answer.
    pub(crate) fn add(&mut self, answer: &CallResult, is_recorded: bool) {
        *self.answers.entry(answer.kind.to_string()).or_default() += 1;
        let count = match is_recorded {
            true => &mut self.recorded,
            false => &mut self.plain,
        };
        count.all += 1;
        count.unknown += u64::from(answer.outcome == Outcome::Unknown);
    }

    /// Adds the answers of another worker.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (kind, times) in &other.answers {
            *self.answers.entry(kind.clone()).or_default() += times;
        }
        for (count, more) in [
            (&mut self.recorded, &other.recorded),
            (&mut self.plain, &other.plain),
        ] {
            count.all += more.all;
            count.unknown += more.unknown;
        }
    }

    /// The number of answers.
    pub fn total(&self) -> u64 {
        self.recorded.all + self.plain.all
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.unknown, self.all)
    }
}
