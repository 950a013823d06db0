//! Migrations against a local cluster.

mod apply;
mod difference;
mod jobs;
mod kill;
mod many;
mod program;
mod support;
