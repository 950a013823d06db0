//! What `dsql-conn` costs beside its peers.
//!
//! Each measurement [`record`]s its rows with the [`Environment`] that they were taken in. Numbers
//! without it say nothing.
//!
//! What is measured in whole processes is built by [`Peer`] and [`deployed`], finds its cluster by
//! a [`Site`], is run by a [`Launcher`], and is as far from the cluster as a [`Relay`] makes it.

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
