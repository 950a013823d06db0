//! Owns the names of all spans, events and metrics, and emits them.
//!
//! Names and attributes are those of OpenTelemetry's [semantic conventions for
//! databases](https://github.com/open-telemetry/semantic-conventions/tree/v1.44.0/docs/db), v1.44.
//! Ours begin with `dsql.`. `docs/observability.md` lists all of them; a test compares it with what
//! is emitted.
//!
//! No attribute has a value of a statement, a credential or a token.

mod error_type;
pub(crate) mod event;
#[cfg(feature = "metrics")]
mod instruments;
#[cfg(not(feature = "metrics"))]
#[path = "telemetry/no_instruments.rs"]
mod instruments;
mod meter;
mod metric;
mod operation;
mod population;
mod server;
pub(crate) mod span;
mod sql;
mod stages;
mod summary;
mod transaction;

pub(crate) use self::error_type::ErrorType;
pub(crate) use self::meter::Meter;
pub(crate) use self::metric::Metric;
#[cfg(feature = "metrics")]
pub use self::metric::OPERATION_DURATION_BOUNDS;
pub(crate) use self::operation::Operation;
pub(crate) use self::population::{PoolLimits, Population};
pub(crate) use self::server::Server;
pub(crate) use self::stages::Stages;
pub(crate) use self::transaction::{Observed, Unfinished};

/// The target of all spans, events and metrics, for filters.
const TARGET: &str = "dsql_conn";

/// The value of `db.system.name`.
const SYSTEM: &str = "postgresql";

/// The command that ends a transaction.
pub(crate) const COMMIT: &str = "COMMIT";
