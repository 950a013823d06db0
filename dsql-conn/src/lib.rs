//! Connections to [Amazon Aurora
//! DSQL](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/what-is-aurora-dsql.html), for
//! services and Lambda functions.
//!
//! Aurora DSQL speaks PostgreSQL. Three things are different, and this crate handles them on
//! [`tokio_postgres`] and [`rustls`]: the password is an IAM token that is valid for minutes, a
//! connection ends after an hour, and a transaction can conflict with another one when it commits.
//!
//! ```no_run
//! use dsql_conn::{Config, Pool};
//!
//! # async fn example(title: &str) -> Result<(), dsql_conn::Error> {
//! let pool = Pool::connect(Config::from_env()?).await?;
//!
//! let games = pool.get().await?.query("SELECT title FROM games", &[]).await?;
//!
//! let id: i64 = pool.transaction(async |tx| {
//!     let insert = "INSERT INTO games (title) VALUES ($1) RETURNING id";
//!     Ok(tx.query_one(insert, &[&title]).await?.get(0))
//! }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! With bb8, from a stock [`bb8::Pool`]:
//!
//! ```no_run
//! # async fn example() -> Result<(), dsql_conn::Error> {
//! use dsql_conn::{Config, ConnectionManager, bb8};
//!
//! let manager = ConnectionManager::new(Config::from_env()?);
//! let pool = bb8::Pool::builder().build(manager).await?;
//! pool.get().await?.execute("DELETE FROM games WHERE title = $1", &[&"chess"]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Only [`Pool`] serves checkouts in order, returns the cause of a failed opening at once, skips
//! connections whose rows are still being read, opens another connection while a ping is
//! unanswered, and can be closed. bb8 and deadpool get everything else: tokens, verified TLS,
//! lifetimes by the wall clock, validation at checkout, cached statements and
//! [transactions](Connection::transaction).
//!
//! # How it works
//!
//! An [`Endpoint`] names the cluster, a [`Config`] how to connect to it. For each connection the
//! credentials are fetched or found in the cache, a token is signed and TLS is verified.
//! [`Pool::get`] checks a [`Connection`] out; [`Pool::transaction`] runs a transaction and retries
//! it until it is committed once. [`Config::connect`] opens a single connection. All errors are an
//! [`Error`].
//!
//! # Cancel safety
//!
//! Every future of this crate may be dropped at any point. If a dropped future leaves a transaction
//! open or a statement running, the connection is used again only after that has settled; otherwise
//! it is replaced. The server cannot cancel a statement and runs it to its end.
//!
//! # Features
//!
//! - `ring` (default): TLS by ring.
//! - `aws-lc-rs`: TLS by aws-lc-rs if `ring` is off. Seeding its random numbers takes 25 ms in a
//!   new process.
//! - `aws-config` (default): uses the SDK's default credentials chain if neither the caller nor the
//!   environment has credentials. A Lambda function has credentials in its environment; without
//!   this feature its binary is smaller. It adds some 50 crates to the build, among them aws-lc-rs,
//!   the SDK's TLS library, which is compiled from C.
//! - `deadpool`: a manager for deadpool.
//! - `metrics`: records metrics by the facade of the [`metrics`](https://docs.rs/metrics) crate.
//!
//! # Observability
//!
//! Spans and events by [`tracing`](https://docs.rs/tracing), metrics, and [`Pool::stats`] show what
//! happens, with the names of OpenTelemetry's conventions. `docs/observability.md` in the
//! repository lists them.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
pub mod batches;
#[path = "bb8.rs"]
mod bb8_manager;
mod cause;
mod clock;
mod config;
mod connect;
mod connection;
mod credentials;
#[cfg(feature = "deadpool")]
#[path = "deadpool.rs"]
mod deadpool_manager;
mod diagnosis;
mod endpoint;
mod error;
mod outcomes;
mod pool;
mod reason;
mod refusal;
mod retry;
mod settle;
mod shared;
mod sqlstate;
mod table_name;
mod telemetry;
mod tls;
mod token;
mod transaction;
mod wire;

pub use aws_credential_types::Credentials;
pub use aws_credential_types::provider::ProvideCredentials;
pub use aws_smithy_async::time::TimeSource;
pub use bb8;
pub use bb8_manager::ConnectionManager;
pub use config::{Config, Peer, StatementSpans, Summary};
pub use connection::{Connection, Query, WithStatementTimeout};
#[cfg(feature = "deadpool")]
pub use deadpool;
#[cfg(feature = "deadpool")]
pub use deadpool_manager::DeadpoolManager;
pub use endpoint::{Endpoint, EndpointError, EndpointProblem};
pub use error::{ConfigError, ConnectError, Discard, Error, RollbackCause};
pub use outcomes::{InvalidOutcomeId, Outcome, OutcomeId, Outcomes};
pub use pool::{Builder, ClosedBy, FailedAttempts, Pool, PooledConnection, Stats};
pub use reason::Reason;
pub use retry::{RetryPolicy, retry, retry_with};
pub use rustls;
pub use sqlstate::ServerError;
#[cfg(feature = "metrics")]
pub use telemetry::OPERATION_DURATION_BOUNDS;
pub use tokio_postgres;
pub use transaction::{Rollback, Transaction};

#[doc = include_str!("../what-went-wrong.md")]
pub mod what_went_wrong {}

/// Compiles the code of the README and of the pages in `docs`.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../README.md")]
    struct PackageReadme;
    #[doc = include_str!("../../docs/lost-commits.md")]
    struct LostCommits;
    #[doc = include_str!("../../docs/observability.md")]
    struct Observability;
    #[doc = include_str!("../../docs/two-regions.md")]
    struct TwoRegions;
}

#[cfg(test)]
#[path = "../tests/corpus/mod.rs"]
mod corpus;
#[cfg(test)]
mod scripted;
