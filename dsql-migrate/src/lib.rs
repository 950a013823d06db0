//! Migrations for Amazon Aurora DSQL that may be interrupted anywhere and run any number of times
//! at once.
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
//! It is a crate of its own, because only the program that changes the schema needs it: neither the
//! code of a server or a Lambda function, nor, by way of `dsql-local`, a user of another driver
//! takes more dependencies for it.
//!
//! # How it works
//!
//! A migration is a file `NNNN_name.sql` with one or more statements. Each statement is applied in
//! a transaction of its own and recorded in the table `dsql_migrations`, so that a run that was
//! killed goes on at the statement where it was.
//!
//! - DML is in one transaction with its record. It is applied once.
//! - DDL must change nothing when it runs again, because its record is another transaction: [the
//!   service](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-ddl.html) takes
//!   one DDL statement a transaction. `IF NOT EXISTS`, `IF EXISTS` and `OR REPLACE` are asked for.
//!   Where PostgreSQL has none of them, as for `ADD CONSTRAINT`, `RENAME COLUMN` and `CREATE ROLE`,
//!   the effect is looked up in the catalog before the statement runs.
//! - `CREATE INDEX ASYNC` and `VALIDATE CONSTRAINT` are done when their jobs are, whichever run
//!   started them. An index whose build failed is dropped and built once more.
//!
//! What cannot be repeated is refused when the files are loaded ([`Error::Refused`]), with what to
//! write instead. The history keeps the text of each statement: if an applied one has changed, the
//! error shows the changed lines ([`Error::Differs`]).
//!
//! Several migrators are safe. There are no advisory locks in the service; conflicts decide.
//!
//! # Connections
//!
//! [`Connect`] opens them: `dsql-conn`'s `Config` and `Pool` do, and any function that returns a
//! [`tokio_postgres::Client`].
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
