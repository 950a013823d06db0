//! Conflicts as the service has them, on an engine that locks: `forward` sends a session's frames
//! through a [`Guard`], which makes the engine answer like the service.
//!
//! The service takes a transaction's snapshot at BEGIN, lets every statement run on that snapshot,
//! and compares transactions at COMMIT, where the first to commit wins. PostgreSQL locks rows,
//! waits for locks, and fails the second writer at its statement. The guard closes the difference:
//!
//! - BEGIN takes the snapshot and sets a savepoint.
//! - A transaction runs in the engine's tables ([`Place::Tables`](guard::Place)) until it meets
//!   another one.
//! - A statement that meets a lock is undone, and the other open transactions are moved out of the
//!   way: their writes are read back, and a rollback to their savepoint frees their locks but keeps
//!   their snapshot ([`Place::Aside`](guard::Place)). Then the statement runs again.
//! - A statement that meets a row, a key or a foreign key that changed after its snapshot moves its
//!   own transaction aside.
//! - A transaction that goes on after it was moved aside runs on copies of the tables that it uses
//!   ([`Place::Copies`](guard::Place)): temporary tables with what its snapshot and its writes
//!   show.
//! - COMMIT of a transaction that was moved aside applies its writes in a new transaction. Each row
//!   must still be the version that the transaction saw, and keys and foreign keys must hold.
//!   Otherwise COMMIT fails with OC000.
//!
//! A single session takes none of these detours.

pub(crate) use guard::Guard;
pub(crate) use registry::Registry;

mod flight;
mod guard;
mod internal;
mod registry;
mod rename;
mod writes;

/// What the engine's databases need for this.
pub(crate) const FUNCTIONS: &str = include_str!("conflict/functions.sql");
