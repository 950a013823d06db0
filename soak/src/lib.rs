//! A bank under faults: what dsql-conn answers, reconciled with what was written.
//!
//! ```console
//! $ cargo run --release -p soak -- --minutes 10
//! ```
//!
//! Workers transfer money between accounts, each transfer in a transaction of `dsql-conn`'s,
//! against a cluster of `dsql-local`'s that is cut, stalled, put to sleep, throttled and lied about
//! at random. A transfer reads two balances, writes both, and adds a row with its number to a
//! ledger that takes the same number twice. The worker notes what it was told: it is committed, it
//! is not, or that is unknown. At the end the pool is closed, the last session of the engine
//! awaited, and [`reconcile`] holds the journals against the ledger and the accounts:
//!
//! - what was told to be committed is there, once: else it is *lost*, or *doubled*;
//! - what was told to have failed is not there: else it was *applied in spite of an error*;
//! - what was told to be unknown is there once or not at all;
//! - every account holds what it opened with and what the ledger adds, so that the total is
//!   unchanged.
//!
//! Not all workers are good users. Some bodies return an error after their writes, some keep a
//! failed statement to themselves, some let their handle out, some callers drop the call halfway or
//! give a connection back in the middle of a transaction. None of these may leave anything behind.
//!
//! A [`Hazard`] counts as seen when the cluster did it or told a client so, not when it was asked
//! for. A run goes on until all were seen. Its seed decides what is drawn, but not who comes first:
//! two runs with one seed are alike, not equal.
//!
//! That the reconciliation finds what it looks for is shown by workers on the driver alone that are
//! wrong in the two usual ways, in `tests/wrong_workers.rs`.

mod bank;
mod chaos;
mod floor;
mod hazard;
mod journal;
mod manner;
mod reconcile;
mod report;
mod retries;
mod soak;
mod worker;

pub use bank::{BALANCE, Books, COLLIDE, Opening, RECORD, SET_BALANCE, Transfer};
pub use hazard::Hazard;
pub use journal::{Answer, Entry, Told};
pub use reconcile::{Verdict, reconcile};
pub use report::Report;
pub use retries::Cause;
pub use soak::{Failure, Length, Soak};
