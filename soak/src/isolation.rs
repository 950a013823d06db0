//! Checks recorded transactions for what snapshot isolation forbids.
//!
//! Transactions append numbers to lists and read lists. Every number is appended once, so that a
//! read shows which transactions came before it, and in which order. `adya` infers the dependencies
//! between the transactions and searches for cycles that strong snapshot isolation forbids: lost
//! updates, write cycles, aborted and intermediate reads, mixed snapshots, stale reads and reads of
//! the future.

mod check;
mod history;

pub use self::check::{Findings, check};
pub use self::history::{Attempt, Op};
