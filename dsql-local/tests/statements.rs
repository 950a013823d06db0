//! Refused statements in all positions and both protocols, and names that are not refused.

#[path = "statements/lists.rs"]
mod lists;
mod support;
#[path = "support/wire.rs"]
mod wire;

use dsql_local::LocalCluster;
use lists::{ACCEPTED, REFUSED, TABLES};
use wire::{Error, Wire};

async fn prepared() -> (LocalCluster, Wire) {
    let cluster = LocalCluster::start().await.unwrap();
    let mut wire = Wire::connect(&cluster).await;
    for sql in TABLES {
        assert_eq!(wire.extended(sql).await.error, None, "{sql}");
    }
    (cluster, wire)
}

#[tokio::test]
async fn refusals_apply_anywhere_and_in_both_protocols() {
    let (_cluster, mut wire) = prepared().await;
    let mut wrong = Vec::new();
    for (sql, sqlstate, message) in REFUSED {
        let simple = wire.simple(sql).await.pop().unwrap_or_default();
        let extended = wire.extended(sql).await;
        let named = wire.flight(&[("named", sql)], "named").await;
        wire.simple("DEALLOCATE ALL").await;
        for (protocol, answer) in [("simple", simple), ("extended", extended), ("named", named)] {
            let Error {
                sqlstate: code,
                message: words,
                ..
            } = answer.error.unwrap_or_default();
            if (&*code, &*words) != (*sqlstate, *message) {
                wrong.push(format!("{sql} ({protocol}): {code} {words}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn names_like_refused_keywords_are_accepted() {
    let (_cluster, mut wire) = prepared().await;
    let mut wrong = Vec::new();
    for (at, sql) in ACCEPTED.iter().enumerate() {
        let answer = match at % 2 {
            0 => wire.simple(sql).await.pop().unwrap_or_default(),
            _ => wire.extended(sql).await,
        };
        if let Some(error) = answer.error {
            wrong.push(format!("{sql}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_services_counts_are_enforced() {
    let (_cluster, mut wire) = prepared().await;
    for schema in 1..=11 {
        let answer = wire.extended(&format!("CREATE SCHEMA s{schema}")).await;
        let error = answer.error.map(|error| (error.sqlstate, error.message));
        let refused = (
            "54000".to_owned(),
            "more than 10 schemas not allowed".to_owned(),
        );
        assert_eq!(error, (schema == 11).then_some(refused), "{schema}");
    }
    let columns = |count: usize| {
        let columns: Vec<_> = (0..count).map(|column| format!("c{column} int")).collect();
        format!("CREATE TABLE wide{count} ({})", columns.join(", "))
    };
    assert_eq!(wire.extended(&columns(255)).await.error, None);
    let error = wire.extended(&columns(257)).await.error.unwrap();
    assert_eq!(error.sqlstate, "54011");
    for index in 1..=25 {
        let sql = format!("CREATE INDEX ASYNC i{index} ON t (value)");
        let error = wire.extended(&sql).await.error.map(|error| error.message);
        let refused = "more than 24 indexes per table are not allowed".to_owned();
        assert_eq!(error, (index == 25).then_some(refused), "{index}");
    }
}

#[tokio::test]
async fn values_and_catalogs_are_the_services() {
    let (_cluster, mut wire) = prepared().await;
    for (sql, expected) in [
        (
            "INSERT INTO numbers VALUES (1.23456789) RETURNING n",
            "1.234568",
        ),
        (
            "SELECT count(*) FROM pg_constraint WHERE contype = 't'",
            "0",
        ),
        (
            "SELECT string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace",
            "information_schema,pg_catalog,pg_toast,public,sys",
        ),
        (
            "SELECT string_agg(datname, ',') FROM pg_database",
            "postgres",
        ),
        (
            "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles \
             WHERE rolname !~ '^pg_'",
            "admin",
        ),
        ("SELECT string_agg(usename, ',') FROM pg_user", "admin"),
        (
            "SELECT string_agg(DISTINCT lanname, ',') \
             FROM pg_proc p JOIN pg_language l ON l.oid = prolang \
             WHERE pronamespace = 'sys'::regnamespace",
            "sql",
        ),
        ("SELECT count(*) FROM pg_event_trigger", "0"),
        ("SELECT current_catalog", "postgres"),
        (
            "SELECT catalog_name FROM information_schema.information_schema_catalog_name",
            "postgres",
        ),
        ("SHOW lock_timeout", "0"),
        (
            "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'",
            "0",
        ),
        ("SHOW server_version", "16.15"),
        (
            "SELECT indexdef FROM pg_indexes WHERE tablename = 't'",
            "CREATE UNIQUE INDEX t_pkey ON public.t USING btree_index (id)",
        ),
        ("SELECT sys.dsql_major_version() > 0", "t"),
        (
            "SELECT sys.current_session_id() = sys.current_session_id()",
            "t",
        ),
        (
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'pg_toast'",
            "0",
        ),
        (
            "SELECT has_database_privilege('admin', 'postgres', 'CREATE')",
            "t",
        ),
    ] {
        let answer = wire.extended(sql).await;
        assert_eq!(answer.error, None, "{sql}");
        assert_eq!(answer.rows[0][0].as_deref(), Some(expected), "{sql}");
    }
    // The table can be dropped and created again.
    for sql in [
        "DROP TABLE t CASCADE",
        "CREATE TABLE t (id int)",
        "INSERT INTO t VALUES (1)",
    ] {
        assert_eq!(wire.extended(sql).await.error, None, "{sql}");
    }
}

#[tokio::test]
async fn explain_analyze_counts_as_its_statement() {
    let (_cluster, mut wire) = prepared().await;
    wire.simple("BEGIN").await;
    wire.extended("EXPLAIN ANALYZE INSERT INTO t VALUES (1, 'x')")
        .await;
    let error = wire
        .extended("CREATE TABLE x (id int)")
        .await
        .error
        .unwrap();
    assert_eq!(
        error.message,
        "ddl and dml are not supported in the same transaction"
    );
    wire.simple("ROLLBACK").await;
    wire.simple("BEGIN").await;
    wire.extended("EXPLAIN INSERT INTO t VALUES (1, 'x')").await;
    assert_eq!(wire.extended("CREATE TABLE x (id int)").await.error, None);
}
