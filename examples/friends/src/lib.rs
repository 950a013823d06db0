//! Crates that work with `dsql-conn`, each in a test of its own that runs against a local cluster.
//!
//! | crate | test |
//! |---|---|
//! | [postgres-types](https://docs.rs/postgres-types), derived types | `tests/postgres_types.rs` |
//! | uuid, chrono and serde_json as columns | `tests/column_types.rs` |
//! | [sea-query](https://docs.rs/sea-query) | `tests/sea_query.rs` |
//! | [clorinde](https://docs.rs/clorinde), generated queries | `tests/clorinde.rs` |
//! | [bb8](https://docs.rs/bb8) | `tests/bb8.rs` |
//! | [deadpool](https://docs.rs/deadpool) | `tests/deadpool.rs` |
