//! The library against a local cluster, over the network: one file a room.

mod adapters;
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
mod outcomes;
mod pool;
mod reports_pool;
mod reports_statement;
mod reports_transaction;
mod rerun;
mod retry;
mod schema;
mod shutdown;
mod statements;
mod support;
mod transaction;
