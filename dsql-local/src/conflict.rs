//! The service's conflicts, on an engine that locks. `server::forward` sends a session's frames
//! through a [`Guard`] for OC000; [`Schema`] and [`SharedCatalog`] decide about OC001.
//!
//! The service takes a transaction's snapshot at BEGIN, lets every statement run on that snapshot,
//! and compares transactions at COMMIT, where the first to commit wins. PostgreSQL locks rows,
//! waits for locks, and fails the second writer at its statement. The guard makes the engine behave
//! like the service:
//!
//! - BEGIN takes the snapshot and sets a savepoint.
//! - A transaction runs in the engine's tables until it meets another one.
//! - A statement that meets a lock is rolled back, and the other open transactions are moved aside:
//!   their writes are read back, and a rollback to their savepoint releases their locks but keeps
//!   their snapshot. Then the statement runs again.
//! - A statement that meets a row, a key or a foreign key that changed after its snapshot moves its
//!   own transaction aside.
//! - A transaction that continues after it was moved aside runs on copies of the tables that it
//!   uses: temporary tables with the rows of its snapshot and its own writes.
//! - COMMIT of a transaction that was moved aside applies its writes in a new transaction. Each row
//!   must still be the version that the transaction saw, and keys and foreign keys must hold.
//!   Otherwise COMMIT fails with OC000.
//!
//! A session that is alone takes none of these steps. A session whose client disconnected counts
//! until its backend has ended.

pub(crate) use catalog::SharedCatalog;
pub(crate) use guard::Guard;
pub(crate) use registry::Registry;
pub(crate) use schema::Schema;
pub use schema::SchemaConflicts;

mod backend;
mod catalog;
mod class;
mod flight;
mod guard;
mod internal;
mod registry;
mod rename;
mod schema;
mod writes;
