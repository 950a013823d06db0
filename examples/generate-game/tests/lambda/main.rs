//! The Lambda's answers and its bootstrap, against a cluster that behaves like Aurora DSQL.

mod account;
mod bootstrap;
mod games;
mod regions;
mod resource;
mod sweep;
