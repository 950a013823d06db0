//! Connections to [Amazon Aurora DSQL](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/what-is-aurora-dsql.html),
//! for services and Lambda functions.
//!
//! Aurora DSQL speaks PostgreSQL, and three things about it are its own: the password is an IAM token that lives for
//! minutes, a connection ends after an hour, and a transaction can lose to another one when it commits. This crate takes care
//! of the three, on [`tokio_postgres`], [`rustls`] and [`bb8`].
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
//!     let row = tx.query_one("INSERT INTO games (title) VALUES ($1) RETURNING id", &[&title]).await?;
//!     Ok(row.get(0))
//! }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The way through
//!
//! An [`Endpoint`] names the cluster and a [`Config`] how to connect to it. For each connection the credentials are fetched
//! or found in the cache, a token is signed, and TLS verified. A [`Pool`] lends [`Connection`]s and
//! [`Pool::transaction`] runs what must be committed once. Whatever goes wrong is an [`Error`].
//!
//! Those who prefer bb8's own pool give it a [`ConnectionManager`]; [`Config::connect`] opens a single connection.
//!
//! # Cancel safety
//!
//! Every future of this crate may be dropped at any point. What a borrower leaves behind on a connection, be it an open
//! transaction or a statement that still runs, is settled before it is lent again, or the connection is replaced. The server
//! cannot cancel a statement, and goes on with it.
//!
//! # Features
//!
//! - `ring` (default): TLS by ring.
//! - `aws-lc-rs`: TLS by aws-lc-rs, where `ring` is off. It costs a fresh process 25 ms to seed itself.
//! - `aws-config` (default): without credentials of the caller's or in the environment, the SDK's default chain is used. A
//!   Lambda function has its credentials in the environment and is smaller without.

mod backoff;
#[path = "bb8.rs"]
mod bb8_manager;
mod clock;
mod config;
mod connect;
mod connection;
mod credentials;
#[cfg(feature = "deadpool")]
#[path = "deadpool.rs"]
mod deadpool_manager;
mod endpoint;
mod error;
mod pool;
mod reason;
mod refusal;
mod retry;
mod shared;
mod sqlstate;
mod tls;
mod token;
mod transaction;
mod wire;

pub use aws_credential_types::{Credentials, provider::ProvideCredentials};
pub use aws_smithy_async::time::TimeSource;
pub use bb8;
#[cfg(feature = "deadpool")]
pub use deadpool;
pub use rustls;
pub use tokio_postgres;

pub use bb8_manager::ConnectionManager;
pub use config::Config;
pub use connection::{Connection, Query, WithStatementTimeout};
#[cfg(feature = "deadpool")]
pub use deadpool_manager::DeadpoolManager;
pub use endpoint::{Endpoint, EndpointError, EndpointProblem};
pub use error::{ConfigError, ConnectError, Discard, Error, RollbackCause};
pub use pool::{Builder, ClosedBy, Pool, PooledConnection, Stats};
pub use reason::Reason;
pub use retry::{RetryPolicy, retry, retry_with};
pub use sqlstate::ServerError;
pub use transaction::{Rollback, Transaction};

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

#[cfg(test)]
#[path = "../tests/corpus/mod.rs"]
mod corpus;
#[cfg(test)]
mod scripted;
