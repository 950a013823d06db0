//! Deletes old rows of the table of outcomes. They are needed only until a lost commit is settled.

use std::time::Duration;

use dsql_conn::{Config, Error};

use crate::store::OUTCOMES;

/// Deletes the rows that are older than [`KEPT`], and returns how many.
///
/// The connection needs the same `search_path` as the Lambda, and a role that may read and delete
/// outcomes. Running it twice at once is safe.
///
/// # Errors
///
/// When the cluster refuses the connection or a statement. Rows that were deleted before stay
/// deleted, and the next run continues.
pub async fn sweep(config: &Config) -> Result<u64, Error> {
    let connection = config.connect().await?;
    OUTCOMES.sweep(&connection, KEPT).await
}

/// How long outcomes are kept: a day, so that an incident of last night can still be examined. A
/// commit is settled within an hour
/// ([`Outcomes::SETTLE_WITHIN`](dsql_conn::Outcomes::SETTLE_WITHIN)).
pub const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
