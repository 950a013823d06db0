//! The library against a local cluster, over the network: one file a room.

mod connect;
mod leftovers;
mod pool;
mod retry;
mod schema;
mod statements;
mod support;
mod transaction;
