//! What one attempt of a transaction read and appended.

use crate::journal::Outcome;

/// One attempt of a transaction. A retried transaction has several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// A time before it began. Times are unique in a history.
    pub began: u64,
    /// A time after it ended.
    pub ended: u64,
    /// Its outcome.
    pub outcome: Outcome,
    /// What it did, in this order. Not complete if it failed.
    pub ops: Vec<Op>,
}

/// An operation on a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Read the items of a list.
    Read {
        /// The list.
        list: i64,
        /// All its items. A list that does not exist has none.
        items: Vec<i64>,
    },
    /// Appended an item.
    Append {
        /// The list.
        list: i64,
        /// The item. No other operation appends it.
        item: i64,
    },
}

impl Attempt {
    /// The items that it appended.
    pub(super) fn appended(&self) -> impl Iterator<Item = i64> {
        self.ops.iter().filter_map(|op| match op {
            Op::Append { item, .. } => Some(*item),
            Op::Read { .. } => None,
        })
    }
}
