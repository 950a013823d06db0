//! Transfers between accounts under injected faults; the final ledger is compared with each
//! worker's results.
//!
//! ```console
//! $ cargo run --release -p soak -- --minutes 10
//! ```
//!
//! Workers transfer money between accounts, each transfer in a transaction of `dsql-conn`. The
//! cluster is `dsql-local`, which closes and stalls connections, sleeps, throttles and sends wrong
//! replies at random. A transfer reads two balances, writes both, and adds a row with its number to
//! a ledger without a primary key. The worker records the result: committed, not committed, or
//! unknown. At the end the pool is closed, the engine's last session is awaited, and [`reconcile`]
//! compares the journals with the ledger and the accounts:
//!
//! - a transfer reported as committed is in the ledger once; otherwise it is *lost* or *doubled*;
//! - one reported as failed is not in the ledger; otherwise it was *applied in spite of an error*;
//! - one reported as unknown is in the ledger at most once, and none with an outcome table is
//!   unknown;
//! - every account has its initial balance plus what the ledger adds, so the total is unchanged.
//!
//! Half of the transactions use an [outcome table](OUTCOMES). A third of them append to lists and
//! read lists instead; [`isolation`] checks every attempt for what snapshot isolation forbids. A
//! cluster of two Regions also loses its home Region for seconds, or both Regions for a moment.
//!
//! Some workers misuse the crate on purpose: bodies return an error after their writes, ignore a
//! failed statement, or leak their handle; callers cancel the call halfway, or return a connection
//! with an open transaction. None of this may leave anything behind.
//!
//! A [`Hazard`] counts once the cluster has done it or answered with it, not when it was requested.
//! A run continues until each was observed. The seed determines all random choices, but not the
//! scheduling: two runs with the same seed are similar, not identical.
//!
//! `tests/wrong_workers.rs` shows that the reconciliation finds errors: its workers use the driver
//! alone, in the two usual wrong ways. `tests/wrong_settling.rs` shows the same for wrong ways to
//! settle a lost commit, and `tests/isolation.rs` for planted anomalies.

mod access;
mod bank;
mod call;
mod chaos;
mod failure;
mod hazard;
pub mod isolation;
mod journal;
mod lists;
mod outage;
mod progress;
mod reconcile;
mod report;
mod retries;
mod settle;
mod soak;
mod tally;
mod usage;
mod worker;

pub use access::config;
pub use bank::{BALANCE, Books, COLLIDE, OUTCOMES, Opening, RECORD, SET_BALANCE, Transfer};
pub use failure::Failure;
pub use hazard::Hazard;
pub use journal::{CallResult, Entry, Outcome};
pub use reconcile::{Verdict, reconcile};
pub use report::Report;
pub use retries::Cause;
pub use soak::{Length, Soak};
pub use tally::{Count, Tally};
