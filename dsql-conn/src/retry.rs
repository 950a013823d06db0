//! Says when to try again after a conflict, and runs again what is safe to.
//!
//! A conflict, SQLSTATE 40001, is the one failure after which the server vouches that nothing was applied:
//! [concurrency control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).

use std::{error::Error as StdError, ops::ControlFlow, time::Duration};

use tokio::time::sleep;
use tokio_postgres::error::SqlState;

use crate::backoff::Backoff;

/// How often, and how patiently, something is run again after conflicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    backoff: Backoff,
}

impl RetryPolicy {
    /// Starts from the defaults that the setters state.
    pub const fn new() -> Self {
        Self {
            attempts: 10,
            backoff: Backoff {
                base: Duration::from_millis(10),
                cap: Duration::from_millis(500),
            },
        }
    }

    /// Sets how often it may run in all. Defaults to 10; less than 1 counts as 1.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// Sets the delays in between: drawn at random up to `base`, which doubles with each attempt up to `cap`. Defaults to
    /// 10 ms and 500 ms.
    #[must_use]
    pub const fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.backoff = Backoff { base, cap };
        self
    }

    pub(crate) fn start(self) -> Retries {
        Retries {
            policy: self,
            attempts: 1,
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `operation`, and again as long as it fails by a conflict: for those who bring their own connection.
///
/// ```no_run
/// # async fn example(client: &dsql_conn::tokio_postgres::Client) -> Result<(), dsql_conn::tokio_postgres::Error> {
/// use dsql_conn::{RetryPolicy, retry};
///
/// retry(RetryPolicy::new(), async || client.execute("DELETE FROM games WHERE title = $1", &[&"chess"]).await).await?;
/// # Ok(())
/// # }
/// ```
///
/// The operation must be one statement by itself, or a whole transaction from its `BEGIN` to the rollback of one that failed.
/// [`Pool::transaction`](crate::Pool::transaction) sees to that by itself, and notices a conflict that the error does not
/// tell of; here the error must be tokio-postgres's or have it among its sources.
///
/// # Errors
///
/// The operation's: the last conflict when the attempts are used up, and at once whatever else it fails by. A connection that
/// was lost while a statement ran is such an error: whether the statement was applied is unknown, so that it is not run again.
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
    let mut retries = policy.start();
    loop {
        match operation().await {
            Err(error) if is_conflict(&error) => {
                if retries.again().await.is_break() {
                    return Err(error);
                }
            }
            result => return result,
        }
    }
}

fn is_conflict(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
            return error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE);
        }
        cause = error.source();
    }
    false
}

/// The attempts that a policy still allows.
pub(crate) struct Retries {
    policy: RetryPolicy,
    attempts: u32,
}

impl Retries {
    /// Waits before the next attempt, or breaks if there is none.
    pub(crate) async fn again(&mut self) -> ControlFlow<()> {
        if self.attempts >= self.policy.attempts {
            return ControlFlow::Break(());
        }
        let delay = self.policy.backoff.delay(self.attempts, rand::random());
        sleep(delay).await;
        self.attempts += 1;
        ControlFlow::Continue(())
    }

    /// How many attempts have been made, with the one under way.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scripted::{error, login_error};

    /// An error of the caller's own, with others beneath it.
    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Own(#[source] Option<Box<dyn StdError>>);

    proptest! {
        #[test]
        fn a_conflict_is_found_beneath_any_errors_by_its_code_alone(
            depth in 0..20,
            code in prop_oneof![Just("40001".to_owned()), "4000[0-9]", "[0-9A-Z]{5}"],
            text in prop_oneof![Just("change conflicts with another transaction (OC000) 40001".to_owned()), "[^\0]{0,20}"],
        ) {
            let conflict = login_error(&error("ERROR", &code, &text, Some("40001"))).unwrap();
            let mut wrapped: Box<dyn StdError> = Box::new(conflict);
            for _ in 0..depth {
                wrapped = Box::new(Own(Some(wrapped)));
            }
            prop_assert_eq!(is_conflict(&*wrapped), code == "40001");
        }
    }

    #[test]
    fn what_is_not_the_servers_word_is_no_conflict() {
        assert!(!is_conflict(&Own(None)));
        assert!(!is_conflict(&login_error(b"").unwrap()));
        assert!(!is_conflict(
            &login_error(b"E\xff\xff\xff\xff40001").unwrap()
        ));
    }
}
