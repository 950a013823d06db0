//! The library against a local cluster, over the network: one file a room.

mod connect;
mod leftovers;
mod pool;
mod statements;
mod support;
mod transaction;
