//! A local cluster that behaves like Amazon Aurora DSQL, in front of a real PostgreSQL.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use dsql_local::LocalCluster;
//!
//! let cluster = LocalCluster::start().await?;
//! println!("{} at {}", cluster.endpoint(), cluster.address());
//! # Ok(())
//! # }
//! ```
//!
//! Clients connect with TLS, a server name and an IAM token, as they do to the service, and are
//! refused in its words ([`Refusal`]). Tests script [`Fault`]s and read [`Counts`] and
//! [`ConnectionLog`]s.
//!
//! # The engine
//!
//! PostgreSQL 16, the version that the service is compatible with: one on the machine, or else one
//! that is fetched once, as a package of 23 MB that `npm` downloads and whose checksum is pinned
//! here. It is kept in the user's cache, or, for root, in the folder for temporary files.
//! `DSQL_LOCAL_PG_BIN` names another installation (15 or later, with a warning);
//! `DSQL_LOCAL_PG_BIN=fetch` fetches although there is one. Each cluster has an engine of its own,
//! which ends with the cluster, and with the process however that ends.
//!
//! # Conflicts
//!
//! The snapshot is BEGIN's, no statement waits for another session, and the first transaction to
//! commit wins: the others fail at COMMIT with OC000. Ten recorded conflicts are answered as a real
//! cluster answered them, and random schedules are compared with a model in memory.
//!
//! Recorded from a real cluster (Dreamescaper/dsql-emulator, September 2026): two writers of a row;
//! FOR UPDATE against UPDATE; FOR KEY SHARE against DELETE; a child's INSERT against its parent's
//! DELETE, but not against an UPDATE of other columns; CASCADE, SET NULL and SET DEFAULT against
//! writes of the child; disjoint rows. Where a recorded pair has no fixed loser, the later COMMIT
//! loses here.
//!
//! Guesses: FOR UPDATE excludes FOR KEY SHARE, as in PostgreSQL; a SELECT FOR UPDATE or FOR KEY
//! SHARE of its own is noted as well; a key that was inserted and deleted again still conflicts
//! with an older transaction that inserts it.
//!
//! These limits remain:
//!
//! - A transaction that has met another one runs on copies of its tables. That takes time and
//!   memory in proportion to their size, and their foreign keys bring more tables in. `tableoid`,
//!   `ctid` and `regclass` show the copy; a function with `BEGIN ATOMIC`, or a view that names its
//!   schema, reads the table. A cursor that was open when its transaction was moved aside is gone.
//! - A setting that such a transaction made with SET is gone after COMMIT.
//! - Volatile functions run once, where the client saw their values; but a statement that met a
//!   lock or a changed row ran before, so that a sequence may skip numbers.
//! - COPY FROM meets conflicts at the statement. So does a function that writes, called by SELECT,
//!   and a flight of statements that ends with Flush instead of Sync.
//! - Deferrable constraints that fail by another session's commit are told as what they are, 23503.
//! - Unique indexes with expressions or conditions conflict only while the key is there.
//!
//! OC001 follows a rule that is a guess: see [`SchemaConflicts`].
//!
//! # What differs from the service
//!
//! - Backends open at a session's first statement: what the engine refuses at startup, such as a
//!   time zone that does not exist, is answered then.
//! - Where the service's SQLSTATE for a refusal is not known, 08006 stands in.
//! - Messages are those of a real cluster where one was recorded (`tests/record`). The others
//!   follow the pattern: the name of PostgreSQL's parse node.
//! - A name of PrivateLink's without the right `amzn-cluster-id` is answered as if there was no
//!   server name.
//! - The age of a transaction is noticed at its next statement. Its 10 MiB are the rows', without
//!   indexes.
//! - `ASYNC` builds at once: an index is valid when the statement returns. One that could not be
//!   built leaves a failed job and no index, where the service leaves an invalid index. A job stays
//!   listed when the service would have forgotten it.
//! - `pg_proc`, `pg_trigger` and the tables of the schema `pg_toast` show how the rules are
//!   enforced.

pub use builder::{Builder, StartError};
pub use conflict::SchemaConflicts;
pub use engine::EngineError;
pub use faults::{Direction, Effect, Fault, Late, Stage};
pub use iam::clock::Clock;
pub use iam::identity::{Action, Identity};
pub use iam::sigv4::{Flaw, PresignedToken, sign};
pub use local::LocalCluster;
pub use refusal::Refusal;
pub use script::ScriptError;
pub use server::admission::WakeUp;
pub use server::log::{ConnectionLog, Counts, Outcome};

mod builder;
mod conflict;
mod engine;
mod faults;
mod iam;
mod local;
mod protocol;
mod random;
mod refusal;
mod saved;
mod script;
mod server;
mod sql;

#[cfg(test)]
#[path = "../tests/corpus/mod.rs"]
mod corpus;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
