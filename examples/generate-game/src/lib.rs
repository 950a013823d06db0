//! Saves random games in Aurora DSQL, behind an API Gateway.
//!
//! Three programs share this library. `generate-game` is the Lambda: an event becomes a [`route`],
//! [`http`] answers it with a connection of the pool, [`store`] speaks SQL, and what fails becomes
//! a [`problem`]. `openapi.json` describes the API to clients and to the gateway. `bootstrap`
//! prepares the cluster at deploy time ([`bootstrap`]): schema, tables, and the database roles that
//! the IAM roles of the other two may connect as. `sweep` deletes old outcomes, once a day
//! ([`sweep`]).

pub mod bootstrap;
pub mod caller;
#[cfg(feature = "emf")]
pub mod emf;
#[cfg(not(feature = "emf"))]
#[path = "no_emf.rs"]
pub mod emf;
pub mod etag;
pub mod game;
pub mod http;
pub mod idempotency;
pub mod log;
pub mod page;
pub mod problem;
pub mod route;
pub mod store;
pub mod sweep;
pub mod title;
