//! The cost of `dsql-conn`, compared with its peers.
//!
//! Each measurement [`record`]s its rows with the [`Environment`] in which they were measured.
//!
//! Whole processes are built by [`Peer`] and [`deployed`], find their cluster by a [`Site`], are
//! run by a [`Launcher`], and reach the cluster through a [`Relay`] that adds latency.

mod environment;
mod launch;
mod peers;
mod record;
mod relay;
mod site;

pub use environment::Environment;
pub use launch::{Launch, Launcher, Running, Took};
pub use peers::{Peer, deployed};
pub use record::{record, target_directory};
pub use relay::{Passage, Phases, Relay};
pub use site::Site;
