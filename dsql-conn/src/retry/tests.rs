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

/// Returns how long it waits before each of the next attempts, and that there are no more.
async fn waits(policy: RetryPolicy, causes: impl IntoIterator<Item = Cause>) -> Vec<Duration> {
    let mut retries = policy.start();
    let mut waits = Vec::new();
    for cause in causes {
        let before = Instant::now();
        if retries.back_off(cause).await.is_break() {
            break;
        }
        waits.push(before.elapsed());
    }
    assert_eq!(retries.made() as usize, 1 + waits.len());
    waits
}

#[tokio::test(start_paused = true)]
async fn a_schema_change_is_retried_at_once_and_then_with_delays() {
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
async fn lost_and_unknown_attempts_are_retried_three_times() {
    let policy = RetryPolicy::new();
    for cause in [Cause::Lost, Cause::StalePlan, Cause::Unavailable] {
        assert_eq!(waits(policy, [cause; 9]).await.len(), 3, "{cause:?}");
    }
    assert_eq!(waits(policy, [Cause::Unknown; 9]).await.len(), 0);
    let policy = policy.idempotent().schema_backoff(BASE, BASE);
    let mut most = Duration::ZERO;
    for _ in 0..50 {
        let waits = waits(policy, [Cause::Unknown; 9]).await;
        assert_eq!((waits.len(), waits[0]), (3, Duration::ZERO));
        most = most.max(waits[2]);
    }
    assert!(most > Duration::ZERO, "an unavailable server is given time");
}

proptest! {
    #[test]
    fn a_conflict_is_found_beneath_any_errors_by_its_code_alone(
        depth in 0..20,
        code in prop_oneof![Just("40001".to_owned()), "4000[0-9]", "[0-9A-Z]{5}"],
        text in prop_oneof![
            Just("change conflicts with another transaction (OC000) 40001".to_owned()),
            "[^\0]{0,20}",
        ],
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
            .max_attempts(attempts)
            .timeout(deadline)
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
fn an_error_of_another_origin_is_no_conflict() {
    assert!(!is_conflict(&Own(None)));
    assert!(!is_conflict(&login_error(b"").unwrap()));
    assert!(!is_conflict(
        &login_error(b"E\xff\xff\xff\xff40001").unwrap()
    ));
}
