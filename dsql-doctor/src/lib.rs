//! Checks a connection to Amazon Aurora DSQL step by step, and reports which step fails, why, and
//! what to do.
//!
//! ```no_run
//! # async fn example() {
//! use dsql_doctor::Doctor;
//!
//! let report = Doctor::from_env().examine().await;
//! println!("{report}");
//! # }
//! ```
//!
//! The program `dsql-doctor` prints the same report. A Lambda function can log it once, as JSON:
//! [`Report`] implements `serde::Serialize`.
//!
//! The login is made by [`dsql_conn`] itself, so that the report shows what the library meets.
//! Name, TCP and TLS are also tried step by step, to measure each one. An examination opens three
//! connections for each Region: two for TLS and one that logs in. Nothing is written to the
//! database, and no secret is in a report.
//!
//! # Features
//!
//! - `cli` (default): the program.
//! - `aws-config` (default): credentials from the SDK's default chain and from profiles.
//! - `ring` (default), `aws-lc-rs`: those of `dsql-conn`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod certificate;
mod class;
mod doctor;
mod finding;
mod report;
mod walk;
mod words;

pub use self::class::Class;
pub use self::doctor::{Doctor, Progress};
pub use self::finding::Finding;
pub use self::report::{RegionReport, Report, State, Step, StepName};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
