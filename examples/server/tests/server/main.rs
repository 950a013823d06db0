//! The server, against a cluster that behaves like Aurora DSQL.

mod collector;
mod faults;
mod notes;
mod process;
mod support;
