//! A simulated day of calls: no call meets the service's limit of one hour.

use std::time::Duration;

use aws_smithy_async::time::TimeSource;
use dsql_conn::Pool;

use crate::support::{Clock, cluster, config};

/// Calls a pool at this rate for 24 hours, with a statement in at most ten calls a minute to keep
/// the test short. No call may fail. Returns the number of connections.
async fn a_day_of_calls(per_minute: u32) -> u64 {
    let cluster = cluster().await;
    let clock = Clock::default();
    let pool = Pool::lambda(config(&cluster).time_source(clock.clone()))
        .checkout_timeout(Duration::from_secs(60))
        .hedge_delay(Duration::from_secs(60))
        .build();
    let step = Duration::from_secs(60) / per_minute;
    for call in 0..24 * 60 * per_minute {
        let connection = pool.get().await.unwrap();
        assert!(connection.expires_at() > clock.now());
        if call % per_minute.div_ceil(10) == 0 {
            let one = connection.query_one("SELECT 1", &[]).await;
            assert_eq!(one.unwrap().get::<_, i32>(0), 1, "call {call}");
        }
        drop(connection);
        clock.advance(step);
        cluster.clock().advance(step);
        cluster.pass_time(step);
    }
    let counts = cluster.counts();
    assert_eq!(counts.logins, pool.stats().opened);
    counts.logins
}

#[tokio::test]
async fn one_call_a_minute_never_meets_the_limit() {
    let connections = a_day_of_calls(1).await;
    assert!((26..=33).contains(&connections), "{connections}");
}

#[tokio::test]
async fn ten_calls_a_minute_never_meet_the_limit() {
    let connections = a_day_of_calls(10).await;
    assert!((26..=33).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_hundred_calls_a_minute_never_meet_the_limit() {
    let connections = a_day_of_calls(100).await;
    assert!((26..=33).contains(&connections), "{connections}");
}
