//! Settles unknown outcomes of transactions that used an outcome table.

use dsql_conn::{Error, Pool, RetryPolicy, retry};

use crate::bank::OUTCOMES;
use crate::journal::{CallResult, Outcome};

/// Reads what a transaction returned. If its outcome is unknown and it used an outcome table, its
/// ID settles it.
pub(crate) async fn settled(pool: &Pool, result: &Result<(), Error>) -> CallResult {
    if let Err(Error::CommitUnknown { id: Some(id), .. }) = result {
        for _ in 0..CALLS {
            let policy = RetryPolicy::new().idempotent();
            let outcome = retry(policy, async || {
                OUTCOMES.settle(&*pool.get().await?, *id).await
            });
            match outcome.await {
                Ok(dsql_conn::Outcome::Committed) => {
                    return CallResult::new(Outcome::Committed, "committed, settled by its ID");
                }
                Ok(dsql_conn::Outcome::RolledBack) => {
                    return CallResult::new(
                        Outcome::NotCommitted,
                        "not committed, settled by its ID",
                    );
                }
                Err(_) => {}
            }
        }
    }
    CallResult::of(result)
}

/// Far more than an outage needs: each call waits and retries.
const CALLS: usize = 50;
