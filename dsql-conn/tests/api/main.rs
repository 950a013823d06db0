//! The library against a local cluster, over the network: one file a room.

mod age;
mod cancellation;
mod clock;
mod connect;
mod credentials;
mod dial;
mod early_password;
mod ended;
mod freezes;
mod hedging;
mod hiccups;
mod leftovers;
mod lifetime;
mod pool;
mod rerun;
mod retry;
mod schema;
mod shutdown;
mod statements;
mod support;
mod transaction;
