//! The library against a local cluster, over the network: one file a room.

mod age;
mod connect;
mod dial;
mod freezes;
mod hiccups;
mod leftovers;
mod lifetime;
mod pool;
mod rerun;
mod retry;
mod schema;
mod statements;
mod support;
mod transaction;
