//! Compares the rules with AWS's linter: each difference has a reason.

#[path = "statements/lists.rs"]
mod lists;
mod support;
#[path = "support/wire.rs"]
mod wire;

use std::collections::BTreeSet;

use dsql_lint::lint_sql;
use dsql_local::LocalCluster;
use lists::{ACCEPTED, REFUSED, TABLES};
use wire::Wire;

/// The linter's rules that reject statements which the cluster accepts, with the reason.
const ONLY_LINT: &[(&str, &str)] = &[
    (
        "ParseError",
        "its parser does not know valid SQL of PostgreSQL 16",
    ),
    (
        "IndexUsing",
        "btree_index is the service's own method, which it prints itself",
    ),
];

/// The beginnings of the cluster's messages for statements that the linter accepts, with the
/// reason.
const ONLY_CLUSTER: &[(&str, &str)] = &[
    ("cannot use subquery in CALL", "it does not look into CALL"),
    (
        "ALTER TABLE ADD COLUMN with constraint",
        "recorded; it knows of DEFAULT and NOT NULL only",
    ),
    (
        "datatype ",
        "recorded; of types it knows arrays and serial only",
    ),
    ("Datatype limit", "it does not know the limits of types"),
    (
        "locking clauses",
        "recorded; it checks definitions, not queries",
    ),
    (
        "TABLESAMPLE",
        "recorded; it checks definitions, not queries",
    ),
    (
        "unsupported statement type: MERGE",
        "recorded; it checks definitions, not queries",
    ),
    ("function pg_advisory_lock", "it does not look at functions"),
    (
        "setting configuration parameter",
        "it does not look at settings",
    ),
    (
        "cannot drop primary key column",
        "recorded; it does not know the table",
    ),
    (
        "unsupported ALTER TABLE DROP CONSTRAINT",
        "it does not know the table",
    ),
    (
        "unsupported ALTER TABLE ALTER COLUMN ... ADD IDENTITY",
        "the linter reports it only for a dump",
    ),
    (
        "unsupported ALTER TABLE SET",
        "it does not look at parameters there",
    ),
    (
        "unsupported statement: CreateTableAs",
        "it does not look into EXPLAIN",
    ),
    (
        "unsupported statement: Execute",
        "reported from a live cluster; it knows PREPARE only",
    ),
    (
        "unsupported statement: Truncate",
        "it does not look into bodies of functions",
    ),
    (
        "TEMPORARY or TEMP",
        "it does not look into bodies of functions",
    ),
    ("opclass", "reported from a live cluster"),
    ("specifying sort order", "it knows ASC and DESC only"),
    ("DROP DOMAIN with CASCADE", "reported from a live cluster"),
    ("more than 8 column keys", "it does not count"),
    ("key size", "it does not look at values"),
];

#[tokio::test]
async fn differences_from_the_linter_are_known() {
    let cluster = LocalCluster::start().await.unwrap();
    let mut wire = Wire::connect(&cluster).await;
    for sql in setup()
        .iter()
        .map(String::as_str)
        .chain(TABLES.iter().copied())
    {
        assert_eq!(wire.extended(sql).await.error, None, "{sql}");
    }
    let (mut unexplained, mut used, mut agreed) = (Vec::new(), BTreeSet::new(), 0);
    let statements = statements();
    for sql in &statements {
        let answer = wire.extended(sql).await;
        // Ends the transaction of a statement that began one or failed in one.
        wire.simple("ROLLBACK").await;
        let refused = answer
            .error
            .filter(|error| is_refusal(&error.sqlstate, &error.message));
        let linted = lint_sql(sql);
        match (refused, linted.first()) {
            (None, Some(diagnostic)) => {
                let rule = format!("{:?}", diagnostic.rule);
                match ONLY_LINT.iter().find(|(known, _)| *known == rule) {
                    Some((known, _)) => drop(used.insert(*known)),
                    None => unexplained.push(format!("only the linter ({rule}): {sql}")),
                }
            }
            (Some(error), None) => {
                let known = ONLY_CLUSTER
                    .iter()
                    .find(|(known, _)| error.message.starts_with(known));
                match known {
                    Some((known, _)) => drop(used.insert(*known)),
                    None => {
                        unexplained.push(format!("only the cluster ({}): {sql}", error.message))
                    }
                }
            }
            (None, None) | (Some(_), Some(_)) => agreed += 1,
        }
    }
    println!(
        "{agreed} of {} statements have the same verdict",
        statements.len()
    );
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let reasons = ONLY_LINT
        .iter()
        .chain(ONLY_CLUSTER)
        .map(|(known, _)| *known);
    assert_eq!(
        reasons
            .filter(|known| !used.contains(known))
            .collect::<Vec<_>>(),
        [""; 0]
    );
    assert!(statements.len() > 300, "{}", statements.len());
}

/// Returns whether the error comes from the dialect, not from the statement's objects or values.
fn is_refusal(sqlstate: &str, message: &str) -> bool {
    match sqlstate {
        "0A000" | "22023" | "54011" => true,
        "54000" => message.contains("not supported"),
        "42704" => message.contains("serial\" does not exist"),
        _ => false,
    }
}

fn setup() -> Vec<String> {
    let setup: serde_json::Value = serde_json::from_str(include_str!("record/setup.json")).unwrap();
    strings(&setup["setup"])
}

fn statements() -> Vec<String> {
    let recorded = include_str!("record/cases.jsonl").lines().flat_map(|line| {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        match case["simple_protocol"].as_bool() {
            Some(true) => Vec::new(),
            _ => strings(&case["steps"]),
        }
    });
    let listed = REFUSED
        .iter()
        .map(|(sql, _, _)| *sql)
        .chain(ACCEPTED.iter().copied());
    let mut seen = BTreeSet::new();
    recorded
        .chain(listed.map(str::to_owned))
        .filter(|sql| seen.insert(sql.clone()))
        .collect()
}

fn strings(list: &serde_json::Value) -> Vec<String> {
    let strings = list.as_array().into_iter().flatten();
    strings
        .map(|text| text.as_str().unwrap().to_owned())
        .collect()
}
