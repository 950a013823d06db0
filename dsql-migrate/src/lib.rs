//! Migrations for Amazon Aurora DSQL that may be interrupted at any point, and that any number of
//! migrators may run at once.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use dsql_conn::Config;
//! use dsql_migrate::{Migrations, Migrator};
//!
//! let migrations = Migrations::from_folder("migrations")?;
//! Migrator::new(migrations).up(&Config::from_env()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! It is a crate of its own, because only the program that changes the schema needs it. A server, a
//! Lambda function, or a user of another driver who depends on `dsql-local` gets no more
//! dependencies.
//!
//! # How it works
//!
//! A migration is a file `NNNN_name.sql` with one or more statements. Each statement is applied in
//! a transaction of its own and recorded in the table `dsql_migrations`, so that the next run
//! continues a killed one at the statement where it stopped.
//!
//! - DML runs in one transaction with its record. It is applied once.
//! - DDL must change nothing when it runs again, because its record is another transaction: [the
//!   service](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-ddl.html) runs
//!   one DDL statement per transaction. `IF NOT EXISTS`, `IF EXISTS` or `OR REPLACE` is required.
//!   Where PostgreSQL has none of them, as for `ADD CONSTRAINT`, `RENAME COLUMN` and `CREATE ROLE`,
//!   the effect is looked up in the catalog before the statement runs.
//! - `CREATE INDEX ASYNC` and `VALIDATE CONSTRAINT` are done when their jobs are done, even if
//!   another run started them. An index whose build failed is dropped and built once more.
//!
//! A statement that cannot be repeated is refused when the files are loaded ([`Error::Refused`]);
//! the error says what to write instead. The history keeps the text of each statement. If the text
//! of an applied statement has changed, the error shows the changed lines ([`Error::Differs`]).
//!
//! Several migrators may run at once. The service has no advisory locks; conflicts decide which
//! migrator applies a statement.
//!
//! # Connections
//!
//! [`Connect`] opens the connections. `dsql-conn`'s `Config` and `Pool` implement it, and so does
//! any function that returns a [`tokio_postgres::Client`].
//!
//! # Features
//!
//! - `cli` (default): the program `dsql-migrate`, with `lint`.
//! - `conn` (default): connections by `dsql-conn`.
//! - `lint`: `Migrations::lint`, by AWS's `dsql-lint`.
//! - `aws-config`, `ring` (default), `aws-lc-rs`: those of `dsql-conn`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod apply;
mod catalog;
#[cfg(feature = "conn")]
mod conn;
mod connect;
mod difference;
mod error;
mod failure;
mod history;
#[cfg(feature = "lint")]
mod lint;
mod macros;
mod migration;
mod migrator;
mod name;
mod place;
mod problem;
mod progress;
mod run;
mod settings;
mod statement;

pub use tokio_postgres;

#[cfg(feature = "conn")]
pub use self::conn::Session;
pub use self::connect::{Connect, Lost};
pub use self::difference::{Difference, State};
pub use self::error::Error;
pub use self::migration::Migrations;
pub use self::migrator::Migrator;
pub use self::place::Place;
pub use self::problem::Problem;
pub use self::progress::{FileStatus, Outcome, Pending, Progress, Report, Status, Step};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
