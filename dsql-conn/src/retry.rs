//! Decides what is retried, and when.
//!
//! A conflict, SQLSTATE 40001, is the only error after which the server asks for a retry and
//! guarantees that nothing was applied: [concurrency
//! control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).

mod attempts;

use std::error::Error as StdError;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::attempts::Attempts;
use crate::backoff::Backoff;
use crate::cause::Cause;
use crate::config::FOREVER;
use crate::outcomes::Outcomes;

/// Limits and delays for retries. All values are valid.
///
/// ```
/// use std::time::Duration;
/// use dsql_conn::RetryPolicy;
///
/// const POLICY: RetryPolicy = RetryPolicy::new()
///     .max_attempts(5)
///     .timeout(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: u32,
    timeout: Duration,
    data: Backoff,
    schema: Backoff,
    idempotent: bool,
    pub(crate) outcomes: Option<Outcomes>,
    pub(crate) read_only: bool,
}

impl RetryPolicy {
    /// Creates a policy with the defaults that the setters document.
    pub const fn new() -> Self {
        Self {
            max_attempts: 16,
            timeout: Duration::from_secs(300),
            data: Backoff {
                base: Duration::from_millis(10),
                cap: Duration::from_millis(500),
            },
            schema: Backoff {
                base: Duration::from_millis(100),
                cap: Duration::from_secs(1),
            },
            idempotent: false,
            outcomes: None,
            read_only: false,
        }
    }

    /// Sets the maximum number of attempts. Defaults to 16; 0 counts as 1.
    ///
    /// After a lost connection or an internal error of the server there are at most three retries,
    /// because the operation itself may be the cause.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// Sets the deadline for everything: checkouts, attempts and delays. Defaults to 5 minutes, the
    /// longest that one transaction may take
    /// ([quotas](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html)).
    ///
    /// In a Lambda function, set the time left of the invocation minus the time that the response
    /// needs.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the delays after conflicts with other writers (OC000): random up to `base`, which
    /// doubles each time up to `cap`. Defaults to 10 ms and 500 ms.
    #[must_use]
    pub const fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.data = Backoff { base, cap };
        self
    }

    /// Sets the delays after schema changes (OC001), from the second in a row. The first is retried
    /// at once, because the session then knows the change. Defaults to 100 ms and 1 s, because
    /// during a migration every statement is another change.
    #[must_use]
    pub const fn schema_backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.schema = Backoff { base, cap };
        self
    }

    /// Declares that a second run changes nothing if the first was applied. Unknown outcomes are
    /// then retried, too, at most three times. Defaults to not idempotent.
    ///
    /// Writing by a key that the caller chose is idempotent:
    /// `INSERT .. ON CONFLICT (key) DO NOTHING`. Adding to a balance is not.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Settles lost commits of transactions by an outcome table. No outcome stays unknown while the
    /// cluster can be reached. Defaults to none. [`Outcomes`] documents the cost.
    ///
    /// Single statements are not affected.
    #[must_use]
    pub const fn outcomes(mut self, table: Outcomes) -> Self {
        self.outcomes = Some(table);
        self
    }

    /// Begins transactions by `BEGIN READ ONLY`: the server refuses writes. If the reply to
    /// `COMMIT` is lost, the body runs again, because nothing can have changed. Defaults to read
    /// and write.
    ///
    /// No row is written to the [`outcomes`](Self::outcomes).
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    pub(crate) fn start(self) -> Attempts {
        Attempts::new(self, Instant::now())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `operation`, and retries it while it meets conflicts: for code that has its own connection.
///
/// ```no_run
/// # async fn example(connection: &dsql_conn::Connection) -> Result<(), dsql_conn::Error> {
/// use dsql_conn::{RetryPolicy, retry};
///
/// let delete = "DELETE FROM games WHERE title = $1";
/// retry(RetryPolicy::new(), async || connection.execute(delete, &[&"chess"]).await).await?;
/// # Ok(())
/// # }
/// ```
///
/// The operation must be a single statement, or a whole transaction from `BEGIN` to the `ROLLBACK`
/// of a failed one. Its error must be this crate's or tokio-postgres's, or have one among its
/// sources; [`retry_with`] takes other types. [`Pool::transaction`](crate::Pool::transaction)
/// rolls back by itself and also notices conflicts that the error does not show.
///
/// If a connection was lost while a statement ran, or the server answered `XX000 server
/// unavailable`, the outcome of the statement is unknown. It is retried only if the policy is
/// [`idempotent`](RetryPolicy::idempotent); the operation should then check out a new connection
/// each time.
///
/// # Errors
///
/// The operation's error. The last conflict is returned when the attempts are used up, or when the
/// next one would begin past the deadline. Other errors are returned at once. If an attempt left
/// the outcome unknown and no later one succeeded, its error is returned: see
/// [`Error::may_have_applied`](crate::Error::may_have_applied). The deadline does not interrupt the
/// operation.
///
/// # Cancel safety
///
/// That of the operation.
pub async fn retry<T, E, F, Fut>(policy: RetryPolicy, operation: F) -> Result<T, E>
where
    E: StdError + 'static,
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    retry_with(policy, |error: &E| error as _, operation).await
}

/// Runs `operation` like [`retry`], for an error type that is not a [`std::error::Error`] itself.
/// `as_error` borrows the error inside.
///
/// ```no_run
/// # async fn example(pool: &dsql_conn::Pool) -> Result<(), lambda_http::Error> {
/// use dsql_conn::{RetryPolicy, retry_with};
///
/// // A Box<dyn Error + Send + Sync>. For anyhow: |error: &anyhow::Error| error.as_ref().
/// retry_with(RetryPolicy::new(), |error: &lambda_http::Error| &**error, async || {
///     let connection = pool.get().await?;
///     Ok(connection.execute("DELETE FROM games WHERE title = 'chess'", &[]).await?)
/// })
/// .await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of [`retry`].
///
/// # Cancel safety
///
/// That of the operation.
pub async fn retry_with<T, E, A, F, Fut>(
    policy: RetryPolicy,
    as_error: A,
    operation: F,
) -> Result<T, E>
where
    A: Fn(&E) -> &(dyn StdError + 'static),
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut attempts = policy.start();
    // An unknown outcome stays unknown, whatever later attempts do.
    let mut unknown = None;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(cause) = Cause::of(as_error(&error)) else {
            return Err(unknown.unwrap_or(error));
        };
        if attempts.back_off(cause).await.is_break() {
            return Err(unknown.unwrap_or(error));
        }
        if cause == Cause::Unknown {
            unknown.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests;
