//! What `dsql-conn` costs beside its peers.
//!
//! Each measurement [`record`]s its rows with the [`Environment`] that they were taken in. Numbers without it say nothing.

mod environment;
mod record;

pub use environment::Environment;
pub use record::{record, target_directory};
