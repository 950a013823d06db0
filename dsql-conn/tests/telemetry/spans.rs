//! The spans and events of single calls.

use dsql_conn::StatementSpans;
use dsql_local::{Fault, Refusal};
use tracing::Level;
use tracing_subscriber::filter::LevelFilter;

use crate::lost_commits::{self, cluster_with_outcomes};
use crate::support::{builder, cluster, cluster_with_pool, config, pool, select};
use crate::transcript::{Entry, Transcript};

/// The values of a field.
fn values<'a>(entries: &'a [Entry], field: &str) -> Vec<Option<&'a str>> {
    entries.iter().map(|entry| entry.field(field)).collect()
}

#[tokio::test]
async fn an_opening_has_its_stages_within_its_checkout() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let (transcript, _guard) = Transcript::start();
    select(&pool).await;

    let stages = transcript.events("connect stage ended");
    let expected = ["credentials", "token", "dns", "tcp", "tls", "login"].map(Some);
    assert_eq!(values(&stages, "dsql.stage"), expected);
    for stage in &stages {
        assert_eq!(stage.within, ["dsql.connect", "dsql.checkout"]);
        let seconds: f64 = stage.field("dsql.duration").unwrap().parse().unwrap();
        assert!(seconds > 0.0);
    }
    let opening = &transcript.spans("dsql.connect")[0];
    let address = cluster.address();
    for (field, value) in [
        ("db.system.name", "postgresql"),
        ("db.namespace", "postgres"),
        ("server.address", cluster.endpoint()),
        ("server.port", &address.port().to_string()),
        ("network.peer.address", &address.ip().to_string()),
        ("network.peer.port", &address.port().to_string()),
        ("dsql.region", cluster.region()),
        ("dsql.attempt", "1"),
        ("dsql.outcome", "opened"),
    ] {
        assert_eq!(opening.field(field), Some(value), "{field}");
    }
    assert_eq!(opening.field("error.type"), None);
    let checkouts = transcript.spans("dsql.checkout");
    assert_eq!(values(&checkouts, "dsql.outcome"), [Some("served")]);
}

#[tokio::test]
async fn refused_attempts_leave_events_with_their_cause() {
    let cluster = cluster().await;
    cluster.inject(Fault::refuse(Refusal::WakingUp));
    let (transcript, _guard) = Transcript::start();
    let pool = pool(&cluster, 1);
    select(&pool).await;
    let failed = transcript.events("connect attempt failed");
    assert_eq!(values(&failed, "error.type"), [Some("waking_up")]);
    assert_eq!(values(&failed, "dsql.attempt"), [Some("1")]);
    let waits = transcript.events("connect backs off");
    assert_eq!(values(&waits, "dsql.attempt"), [Some("2")]);
    let openings = transcript.spans("dsql.connect");
    assert_eq!(values(&openings, "dsql.attempt"), [Some("2")]);

    cluster.inject(Fault::refuse(Refusal::NoSni));
    config(&cluster).connect().await.unwrap_err();
    let refused = &transcript.spans("dsql.connect")[1];
    assert_eq!(refused.field("error.type"), Some("server_name_missing"));
    assert_eq!(refused.field("db.response.status_code"), Some("08006"));
    assert_eq!(refused.field("otel.status_code"), Some("ERROR"));
}

#[tokio::test]
async fn a_warm_checkout_and_its_statement_have_no_span() {
    let (_cluster, pool) = cluster_with_pool().await;
    let (transcript, _guard) = Transcript::start();
    select(&pool).await;
    pool.get()
        .await
        .unwrap()
        .query("SELECT 1", &[])
        .await
        .unwrap();
    let ours = transcript.ours();
    assert!(ours.is_empty(), "{ours:?}");
}

#[tokio::test]
async fn info_is_silent_while_all_is_well() {
    let cluster = cluster().await;
    let (transcript, _guard) = Transcript::start_at(LevelFilter::INFO);
    let config = config(&cluster).statement_spans(StatementSpans::WithText);
    let pool = builder(config).build();
    select(&pool).await;
    cluster.inject(Fault::conflict_commits(1));
    let one = pool.transaction(async |tx| tx.execute("SELECT 1", &[]).await);
    one.await.unwrap();
    pool.close(std::time::Duration::from_secs(60)).await;
    let ours = transcript.ours();
    assert!(ours.is_empty(), "{ours:?}");
}

#[tokio::test]
async fn statements_are_described_and_never_show_a_value() {
    let (cluster, _pool) = cluster_with_pool().await;
    for (mode, text) in [
        (StatementSpans::WithSummary, None),
        (
            StatementSpans::WithText,
            Some("SELECT text FROM note WHERE text = ? OR text = $1"),
        ),
    ] {
        let connection = config(&cluster).statement_spans(mode);
        let connection = connection.connect().await.unwrap();
        let (transcript, _guard) = Transcript::start();
        let select = "SELECT text FROM note WHERE text = 'secret' OR text = $1";
        connection.query(select, &[&"value"]).await.unwrap();
        let statement = &transcript.spans("dsql.statement")[0];
        assert_eq!(statement.field("otel.name"), Some("SELECT note"));
        assert_eq!(statement.field("otel.kind"), Some("client"));
        assert_eq!(statement.field("db.query.summary"), Some("SELECT note"));
        assert_eq!(statement.field("db.query.text"), text);
        assert_eq!(statement.field("error.type"), None);

        connection
            .query_typed("SELECT 1 / 0", &[])
            .await
            .unwrap_err();
        let failed = &transcript.spans("dsql.statement")[1];
        assert_eq!(failed.field("error.type"), Some("22012"));
        assert_eq!(failed.field("db.response.status_code"), Some("22012"));
    }
}

#[tokio::test]
async fn transactions_have_their_attempts_and_their_causes() {
    let (cluster, _pool) = cluster_with_pool().await;
    let config = config(&cluster).statement_spans(StatementSpans::WithSummary);
    let pool = builder(config).build();
    select(&pool).await;
    cluster.inject(Fault::conflict_commits(1));
    let (transcript, _guard) = Transcript::start();
    let insert =
        pool.transaction(async |tx| tx.execute("INSERT INTO note VALUES ('a')", &[]).await);
    insert.await.unwrap();

    let transactions = transcript.spans("dsql.transaction");
    assert_eq!(values(&transactions, "dsql.outcome"), [Some("committed")]);
    assert_eq!(values(&transactions, "dsql.attempt"), [Some("2")]);
    let attempts = transcript.events("transaction attempt ended");
    assert_eq!(
        values(&attempts, "dsql.outcome"),
        [Some("failed"), Some("committed")]
    );
    assert_eq!(
        values(&attempts, "dsql.cause"),
        [Some("data_conflict"), None]
    );
    assert_eq!(
        values(&attempts, "db.response.status_code"),
        [Some("40001"), None]
    );
    let region = Some(cluster.region());
    assert_eq!(values(&attempts, "dsql.region"), [region, region]);
    let retries = transcript.events("retry");
    assert_eq!(values(&retries, "dsql.cause"), [Some("data_conflict")]);

    let statements = transcript.spans("dsql.statement");
    let names = ["INSERT note", "COMMIT", "INSERT note", "COMMIT"].map(Some);
    assert_eq!(values(&statements, "otel.name"), names);
    let operations = [None, Some("COMMIT"), None, Some("COMMIT")];
    assert_eq!(values(&statements, "db.operation.name"), operations);
    let errors = [None, Some("40001"), None, None];
    assert_eq!(values(&statements, "error.type"), errors);
    for statement in statements {
        assert_eq!(statement.within, ["dsql.transaction"]);
    }
}

#[tokio::test]
async fn settled_commits_leave_an_event_with_their_outcome() {
    let (cluster, pool) = cluster_with_outcomes().await;
    let (transcript, _guard) = Transcript::start();
    lost_commits::settle(&cluster, &pool).await;
    let told = transcript.events("lost commit settled");
    let outcomes = ["committed", "rolled_back"].map(Some);
    assert_eq!(values(&told, "dsql.outcome"), outcomes);
    assert!(told.iter().all(|event| event.level == Level::INFO));
    let retries = transcript.events("retry");
    assert_eq!(values(&retries, "dsql.cause"), [Some("commit_lost")]);

    lost_commits::leave_unknown(&cluster, &pool).await;
    assert_eq!(transcript.events("commit unknown")[0].level, Level::WARN);
    let transactions = transcript.spans("dsql.transaction");
    let outcomes = ["committed", "committed", "unknown"].map(Some);
    assert_eq!(values(&transactions, "dsql.outcome"), outcomes);
}

#[tokio::test]
async fn failed_checkouts_have_their_error_type() {
    let cluster = cluster().await;
    let pool = pool(&cluster, 1);
    let held = pool.get().await.unwrap();
    let (transcript, _guard) = Transcript::start();
    let past = std::time::SystemTime::UNIX_EPOCH;
    pool.get_until(past).await.unwrap_err();
    drop(held);
    let checkouts = transcript.spans("dsql.checkout");
    assert_eq!(values(&checkouts, "dsql.outcome"), [Some("failed")]);
    assert_eq!(values(&checkouts, "error.type"), [Some("checkout_timeout")]);
}
