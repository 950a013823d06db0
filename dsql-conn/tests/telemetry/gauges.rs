//! The metrics that a recorder gets.
#![cfg(feature = "metrics")]

use std::collections::BTreeMap;
use std::time::Duration;

use dsql_conn::{Pool, Stats};
use metrics::Unit;

use crate::page::{names, table};
use crate::recorder::{Described, Recorded};
use crate::run::run;
use crate::support::{builder, clocked_pool, cluster, config, next_packet, select, until};

/// Idle and used connections, and waiting checkouts, by the gauges.
fn population(recorded: &Recorded) -> [f64; 3] {
    let count = "db.client.connection.count";
    [
        recorded.sum(count, &["idle"]),
        recorded.sum(count, &["used"]),
        recorded.sum("db.client.connection.pending_requests", &[]),
    ]
}

/// The same by the pool.
fn counted(pool: &Pool) -> [f64; 3] {
    let Stats {
        idle,
        in_use,
        waiting,
        ..
    } = pool.stats();
    [idle, in_use, waiting].map(f64::from)
}

#[tokio::test]
async fn gauges_follow_checkouts_and_returns() {
    let recorded = Recorded::default();
    let _recording = metrics::set_default_local_recorder(&recorded);
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).max_size(1).min_idle(1).build();
    let held = pool.get().await.unwrap();
    assert_eq!(population(&recorded), [0.0, 1.0, 0.0]);
    let mut waits = Box::pin(pool.get());
    assert!(futures_util::poll!(waits.as_mut()).is_pending());
    assert_eq!(population(&recorded), [0.0, 1.0, 1.0]);
    drop(waits);
    drop(held);
    assert_eq!(population(&recorded), [1.0, 0.0, 0.0]);
    assert_eq!(population(&recorded), counted(&pool));
    for limit in ["max", "idle.max", "idle.min"] {
        let name = format!("db.client.connection.{limit}");
        assert_eq!(recorded.sum(&name, &[]), 1.0, "{name}");
    }
    drop(pool);
    assert_eq!(population(&recorded), [0.0; 3]);
}

#[tokio::test]
async fn gauges_are_true_after_a_freeze() {
    let recorded = Recorded::default();
    let _recording = metrics::set_default_local_recorder(&recorded);
    let cluster = cluster().await;
    let (clock, pool) = clocked_pool(&cluster);
    select(&pool).await;
    // Frozen, while the server closes the connection.
    clock.advance(Duration::from_secs(3600));
    cluster.cut_all();
    until(&cluster, |counts| counts.open == 0).await;
    while population(&recorded) != [0.0; 3] {
        next_packet().await;
    }
    assert_eq!(counted(&pool), [0.0; 3]);
    cluster.clock().advance(Duration::from_secs(3600));
    select(&pool).await;
    assert_eq!(population(&recorded), [1.0, 0.0, 0.0]);
    assert_eq!(population(&recorded), counted(&pool));
}

#[tokio::test]
async fn a_warm_query_records_one_value_of_each_duration() {
    let recorded = Recorded::default();
    let _recording = metrics::set_default_local_recorder(&recorded);
    let cluster = cluster().await;
    let pool = builder(config(&cluster)).build();
    for queries in 1..=3 {
        select(&pool).await;
        for name in [
            "db.client.operation.duration",
            "db.client.connection.wait_time",
            "db.client.connection.use_time",
        ] {
            assert_eq!(recorded.sum(name, &[]), f64::from(queries), "{name}");
        }
    }
    let connection = pool.get().await.unwrap();
    connection
        .query_typed("SELECT 1 / 0", &[])
        .await
        .unwrap_err();
    let failed = recorded.sum("db.client.operation.duration", &["22012"]);
    assert_eq!(failed, 1.0);
}

#[tokio::test]
async fn every_metric_of_the_page_is_recorded_and_no_other() {
    let recorded = Recorded::default();
    let _recording = metrics::set_default_local_recorder(&recorded);
    run().await;
    let (mut documented, mut described) = (BTreeMap::new(), BTreeMap::new());
    for row in table("metric") {
        let [name, kind, unit, attributes, about] = row.as_slice() else {
            panic!("{row:?}");
        };
        let kind = ["counter", "gauge", "histogram"]
            .into_iter()
            .find(|known| known == kind)
            .unwrap();
        let name = names(name)[0].to_owned();
        let attributes = names(attributes).into_iter().map(str::to_owned);
        documented.insert(name.clone(), (kind, attributes.collect()));
        let described_as = Described {
            kind,
            unit: match names(unit)[0] {
                "s" => Unit::Seconds,
                // The facade has no names for what is counted.
                _ => Unit::Count,
            },
            about: about.clone(),
        };
        described.insert(name, described_as);
    }
    assert_eq!(recorded.metrics(), documented);
    assert_eq!(recorded.described(), described);
}

#[tokio::test]
async fn metrics_and_statistics_have_the_same_counts() {
    let recorded = Recorded::default();
    let _recording = metrics::set_default_local_recorder(&recorded);
    let stats = run().await.stats;
    let count = |name: &str, labels: &[&str]| {
        let labels = [labels, &["games"]].concat();
        recorded.sum(name, &labels) as u64
    };
    for (reason, failed) in stats.failed_attempts.iter() {
        assert_eq!(count("dsql.connects", &["failed", reason.as_str()]), failed);
    }
    assert_eq!(count("db.client.connection.create_time", &[]), stats.opened);
    for (cause, met) in [
        ("data_conflict", stats.data_conflicts),
        ("schema_conflict", stats.schema_conflicts),
        ("connection_lost", stats.lost_connections),
        ("stale_plan", stats.stale_plans),
        ("unavailable", stats.unavailable),
        ("commit_lost", stats.settled_rolled_back),
    ] {
        assert_eq!(count("dsql.retries", &[cause]), met, "{cause}");
    }
    assert!(stats.data_conflicts >= 3 && stats.unavailable >= 1);
    let settled = stats.settled_committed + stats.settled_rolled_back;
    for (outcome, commits) in [
        ("committed", stats.settled_committed),
        ("rolled_back", stats.settled_rolled_back),
        ("unknown", stats.unknown_commits - settled),
    ] {
        assert_eq!(count("dsql.lost_commits", &[outcome]), commits, "{outcome}");
        assert!(commits > 0, "{outcome}");
    }
    let moves = stats.failovers + stats.returns_home;
    assert_eq!(count("dsql.failovers", &[]), moves);
    assert_eq!(count("dsql.failovers", &["us-west-2"]), stats.failovers);
    let fetched = count("dsql.credentials.fetches", &["fetched"]);
    assert_eq!(fetched, stats.credentials_fetched);
    assert_eq!(count("dsql.token.signings", &[]), stats.tokens_signed);
    let timeouts = count("db.client.connection.timeouts", &[]);
    assert_eq!(timeouts, stats.checkout_timeouts);
}
