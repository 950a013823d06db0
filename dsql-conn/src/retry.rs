//! Says what is run again, and when.
//!
//! A conflict, SQLSTATE 40001, is the one refusal after which the server asks for another run and vouches that nothing was
//! applied:
//! [concurrency control](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/working-with-concurrency-control.html).

use std::{error::Error as StdError, io, ops::ControlFlow, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;

use crate::{
    backoff::Backoff,
    config::FOREVER,
    error::{ConnectError, Error},
    outcome::{is_outdated, is_refused},
};

/// How often, for how long and how patiently something is run again. Any value of any setting makes a policy that works.
///
/// ```
/// use std::time::Duration;
/// use dsql_conn::RetryPolicy;
///
/// const POLICY: RetryPolicy = RetryPolicy::new().attempts(5).deadline(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    deadline: Duration,
    data: Backoff,
    schema: Backoff,
    idempotent: bool,
}

impl RetryPolicy {
    /// Starts from the defaults that the setters state.
    pub const fn new() -> Self {
        Self {
            attempts: 16,
            deadline: Duration::from_secs(300),
            data: Backoff {
                base: Duration::from_millis(10),
                cap: Duration::from_millis(500),
            },
            schema: Backoff {
                base: Duration::from_millis(100),
                cap: Duration::from_secs(1),
            },
            idempotent: false,
        }
    }

    /// Sets how often it may run in all. Defaults to 16; less than 1 counts as 1.
    ///
    /// After a lost connection or an internal error of the server it runs again three times at most: it may be what causes them.
    #[must_use]
    pub const fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = if attempts == 0 { 1 } else { attempts };
        self
    }

    /// Sets how long it may take in all: waiting for a connection, every attempt and the waits in between. Defaults to 5 minutes,
    /// which is as long as a transaction may last
    /// ([quotas](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html)).
    ///
    /// In a Lambda function: what is left of the invocation, less the time that the answer needs.
    #[must_use]
    pub const fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the delays after conflicts with other writers (OC000): drawn at random up to `base`, which doubles each time up to
    /// `cap`. Defaults to 10 ms and 500 ms.
    #[must_use]
    pub const fn backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.data = Backoff { base, cap };
        self
    }

    /// Sets the delays after changes of the schema (OC001), from the second one in a row; the first is run again at once,
    /// because that session knows the change now. Defaults to 100 ms and 1 s: while a schema is migrated, every statement of the
    /// migration is another change.
    #[must_use]
    pub const fn schema_backoff(mut self, base: Duration, cap: Duration) -> Self {
        self.schema = Backoff { base, cap };
        self
    }

    /// Declares that a second run changes nothing if the first one was applied, so that it may run again after an unknown outcome,
    /// too: three times at most. Defaults to not.
    ///
    /// Writing by a key that the caller chose makes it so: `INSERT .. ON CONFLICT (key) DO NOTHING`. Adding to a balance does not.
    #[must_use]
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    pub(crate) fn start(self) -> Retries {
        let started = Instant::now();
        Retries {
            policy: self,
            started,
            deadline: started + self.deadline.min(FOREVER),
            attempts: 1,
            met: [0; Cause::COUNT],
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
/// A connection that was lost while a statement ran, or `XX000 server unavailable`, leaves open whether the statement was
/// applied. It is run again only by a policy that says [`idempotent`](RetryPolicy::idempotent); then the operation should take a
/// connection of its own each time, from a pool.
///
/// # Errors
///
/// The operation's: the last conflict when the attempts are used up or the next one would begin past the deadline, and at once
/// whatever else it fails by; after an outcome that stayed unknown, the error that left it so. [`Error::may_have_applied`](crate::Error::may_have_applied) tells what it leaves open. The deadline ends
/// no operation under way.
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
    // An outcome that stays unknown, whatever becomes of later attempts.
    let mut doubt = None;
    loop {
        let error = match operation().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let Some(cause) = Cause::of(&error) else {
            return Err(doubt.unwrap_or(error));
        };
        if retries.again(cause).await.is_break() {
            return Err(doubt.unwrap_or(error));
        }
        if cause == Cause::Unknown {
            doubt.get_or_insert(error);
        }
    }
}

/// Why something may be run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Another transaction wrote the same rows: OC000.
    Data,
    /// The schema has changed since the session last looked: OC001.
    Schema,
    /// A statement had been prepared too long ago.
    Outdated,
    /// The connection was lost before anything was committed.
    Lost,
    /// The server was unavailable for a statement, and the session lives on.
    Unavailable,
    /// Nobody knows whether it was applied.
    Unknown,
}

impl Cause {
    const COUNT: usize = 6;

    /// Tells the two conflicts apart by the server's message.
    pub(crate) fn of_conflict(message: &str) -> Self {
        match message.contains("(OC001)") {
            true => Self::Schema,
            false => Self::Data,
        }
    }

    /// Tells what a statement, which has doomed its transaction, failed by for no fault of its own.
    ///
    /// `XX000 server unavailable` asks to be tried again on the same connection:
    /// [troubleshooting](https://docs.aws.amazon.com/aurora-dsql/latest/userguide/troubleshooting.html).
    pub(crate) fn of_failure(code: &str, message: &str) -> Option<Self> {
        if is_outdated(code, message) {
            return Some(Self::Outdated);
        }
        (code == SqlState::INTERNAL_ERROR.code()).then_some(Self::Unavailable)
    }

    fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
                return Self::of_statement(error);
            }
            // A login was tried again where that helps, and no statement was sent.
            if error.is::<ConnectError>() || matches!(error.downcast_ref(), Some(Error::Connect(_)))
            {
                return None;
            }
            cause = error.source();
        }
        None
    }

    fn of_statement(error: &tokio_postgres::Error) -> Option<Self> {
        if let Some(refusal) = error.as_db_error() {
            let is_conflict = *refusal.code() == SqlState::T_R_SERIALIZATION_FAILURE;
            return match is_conflict {
                true => Some(Self::of_conflict(refusal.message())),
                false => (!is_refused(error)).then_some(Self::Unknown),
            };
        }
        let is_lost =
            error.is_closed() || error.source().is_some_and(|cause| cause.is::<io::Error>());
        is_lost.then_some(Self::Unknown)
    }
}

/// The attempts that a policy still allows.
pub(crate) struct Retries {
    policy: RetryPolicy,
    started: Instant,
    deadline: Instant,
    attempts: u32,
    /// How often each cause was met.
    met: [u32; Cause::COUNT],
}

impl Retries {
    /// Waits before the next attempt, or breaks if there is none.
    pub(crate) async fn again(&mut self, cause: Cause) -> ControlFlow<()> {
        let met = &mut self.met[cause as usize];
        *met += 1;
        let met = *met;
        let is_allowed = match cause {
            Cause::Data | Cause::Schema => true,
            Cause::Outdated | Cause::Lost | Cause::Unavailable => met <= MOST_CHANCES,
            Cause::Unknown => self.policy.idempotent && met <= MOST_CHANCES,
        };
        if !is_allowed || self.attempts >= self.policy.attempts {
            return ControlFlow::Break(());
        }
        let unit = rand::random();
        let delay = match cause {
            Cause::Data => self.policy.data.delay(met, unit),
            Cause::Schema if met == 1 => Duration::ZERO,
            Cause::Schema => self.policy.schema.delay(met - 1, unit),
            Cause::Unavailable => self.policy.schema.delay(met, unit),
            // The pool sees to the pace at which connections are opened.
            Cause::Outdated | Cause::Lost | Cause::Unknown => Duration::ZERO,
        };
        if delay >= self.left() {
            return ControlFlow::Break(());
        }
        if !delay.is_zero() {
            sleep(delay).await;
        }
        self.attempts += 1;
        ControlFlow::Continue(())
    }

    /// How many attempts have been made, with the one under way.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How much time is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// How often something is run again after what it may have brought about by itself.
const MOST_CHANCES: u32 = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scripted::{error, login_error};

    /// An error of the caller's own, with others beneath it.
    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Own(#[source] Option<Box<dyn StdError>>);

    fn is_conflict(error: &(dyn StdError + 'static)) -> bool {
        matches!(Cause::of(error), Some(Cause::Data | Cause::Schema))
    }

    const BASE: Duration = Duration::from_millis(100);

    /// How long it waits before each of the next attempts, and that there are no more.
    async fn waits(policy: RetryPolicy, causes: impl IntoIterator<Item = Cause>) -> Vec<Duration> {
        let mut retries = policy.start();
        let mut waits = Vec::new();
        for cause in causes {
            let before = Instant::now();
            if retries.again(cause).await.is_break() {
                break;
            }
            waits.push(before.elapsed());
        }
        assert_eq!(retries.attempts() as usize, 1 + waits.len());
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_schema_is_run_again_at_once_and_then_patiently() {
        let policy = RetryPolicy::new().schema_backoff(BASE, 2 * BASE);
        let mut most = Duration::ZERO;
        for _ in 0..50 {
            let waits = waits(policy, [Cause::Schema; 20]).await;
            assert_eq!(waits.len(), 15);
            assert_eq!(waits[0], Duration::ZERO);
            most = most.max(waits[10]);
        }
        assert!(most > BASE && most <= 3 * BASE, "{most:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_two_conflicts_have_their_own_delays() {
        let nothing = Duration::ZERO;
        let policy = RetryPolicy::new()
            .backoff(nothing, nothing)
            .schema_backoff(BASE, BASE);
        let causes = [Cause::Schema, Cause::Data, Cause::Data, Cause::Data];
        assert_eq!(waits(policy, causes).await, [nothing; 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_attempt_may_have_brought_about_is_forgiven_three_times() {
        let policy = RetryPolicy::new();
        for cause in [Cause::Lost, Cause::Outdated, Cause::Unavailable] {
            assert_eq!(waits(policy, [cause; 9]).await.len(), 3, "{cause:?}");
        }
        assert_eq!(waits(policy, [Cause::Unknown; 9]).await.len(), 0);
        let policy = policy.idempotent();
        assert_eq!(waits(policy, [Cause::Unknown; 9]).await.len(), 3);
    }

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

        #[test]
        fn any_policy_keeps_to_its_attempts_and_its_deadline(
            attempts: u32,
            deadline in 0..100_000_u64,
            base: Duration,
            cap: Duration,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            let deadline = Duration::from_millis(deadline);
            let policy = RetryPolicy::new()
                .attempts(attempts)
                .deadline(deadline)
                .backoff(base, cap)
                .schema_backoff(base, cap);
            runtime.block_on(async {
                let causes = [Cause::Data, Cause::Schema].into_iter().cycle().take(40);
                let waits = waits(policy, causes).await;
                assert!(waits.len() < attempts.max(1) as usize);
                // A timer ticks by the millisecond.
                let ticks = Duration::from_millis(waits.len() as u64);
                assert!(waits.iter().sum::<Duration>() <= deadline + ticks);
            });
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
