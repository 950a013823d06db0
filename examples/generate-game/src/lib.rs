//! Saves random games in Aurora DSQL, behind an API Gateway.
//!
//! Two programs share this library. `generate-game` is the Lambda: an event becomes a [`route`],
//! [`http`] answers it with a connection of the pool, [`store`] speaks SQL. `bootstrap` prepares
//! the cluster at deploy time ([`bootstrap`]): schema, tables, and the database role that the
//! Lambda's IAM role may connect as.

pub mod bootstrap;
pub mod game;
pub mod http;
pub mod idempotency;
pub mod log;
pub mod route;
pub mod store;
