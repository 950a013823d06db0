//! The library against a local cluster, over the network: one file a room.

mod age;
mod connect;
mod dial;
mod leftovers;
mod pool;
mod rerun;
mod retry;
mod schema;
mod statements;
mod support;
mod transaction;
