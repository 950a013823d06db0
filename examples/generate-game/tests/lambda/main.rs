//! The Lambda's answers and its bootstrap, against a cluster that behaves like Aurora DSQL.

mod account;
mod bootstrap;
mod games;
#[cfg(feature = "emf")]
mod metrics;
mod regions;
mod resource;
#[cfg(feature = "emf")]
#[path = "../../../demo/src/runtime_api.rs"]
mod runtime_api;
mod sweep;
