//! What the cluster does for each behavior of the service that applications depend on. The README
//! has the table; `UPDATE_README=1` writes it.

mod support;
#[path = "support/wire.rs"]
mod wire;

use dsql_local::LocalCluster;
use support::{connect_as, refused};
use wire::{Answer, Wire};

/// A behavior, what the service does, and the statements that show what the cluster does.
struct Behavior {
    name: &'static str,
    service: &'static str,
    /// The last statement's result is compared.
    statements: &'static [&'static str],
}

/// Behaviors of one session. The result is a value, a command tag, or an SQLSTATE and message.
const BEHAVIORS: &[Behavior] = &[
    Behavior {
        name: "version",
        service: "16.15",
        statements: &["SHOW server_version"],
    },
    Behavior {
        name: "isolation level",
        service: "repeatable read",
        statements: &["SHOW transaction_isolation"],
    },
    Behavior {
        name: "another isolation level",
        service: "0A000 Unsupported isolation level: SERIALIZABLE",
        statements: &["BEGIN ISOLATION LEVEL SERIALIZABLE"],
    },
    Behavior {
        name: "two definitions in a transaction",
        service: "0A000 multiple ddl statements not supported in a transaction",
        statements: &[
            "BEGIN",
            "CREATE TABLE a (id int)",
            "CREATE TABLE b (id int)",
        ],
    },
    Behavior {
        name: "a definition and a change in a transaction",
        service: "0A000 ddl and dml are not supported in the same transaction",
        statements: &[
            "BEGIN",
            "INSERT INTO t VALUES (0)",
            "CREATE TABLE a (id int)",
        ],
    },
    Behavior {
        name: "savepoints",
        service: "0A000 unsupported transaction statement: SAVEPOINT",
        statements: &["BEGIN", "SAVEPOINT s"],
    },
    Behavior {
        name: "a transaction that changes 3,000 rows",
        service: "INSERT 0 3000",
        statements: &["BEGIN", "INSERT INTO t SELECT generate_series(1, 3000)"],
    },
    Behavior {
        name: "a transaction that changes 3,001 rows",
        service: "54000 transaction row limit exceeded",
        statements: &["BEGIN", "INSERT INTO t SELECT generate_series(1, 3001)"],
    },
    Behavior {
        name: "COMMIT of a failed transaction",
        service: "ROLLBACK",
        statements: &["BEGIN", "SELECT 1/0", "COMMIT"],
    },
    Behavior {
        name: "TRUNCATE",
        service: "0A000 unsupported statement: Truncate",
        statements: &["TRUNCATE t"],
    },
    Behavior {
        name: "temporary tables",
        service: "0A000 TEMPORARY or TEMP table not supported for CREATE TABLE",
        statements: &["CREATE TEMP TABLE a (id int)"],
    },
    Behavior {
        name: "functions in PL/pgSQL",
        service: "0A000 CREATE FUNCTION with language plpgsql not supported",
        statements: &["CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END'"],
    },
    Behavior {
        name: "advisory locks",
        service: "0A000 function pg_advisory_lock not supported",
        statements: &["SELECT pg_advisory_lock(1)"],
    },
    Behavior {
        name: "LISTEN",
        service: "0A000 unsupported statement: Listen",
        statements: &["LISTEN c"],
    },
    Behavior {
        name: "SET statement_timeout",
        service: "0A000 setting configuration parameter \"statement_timeout\" not supported",
        statements: &["SET statement_timeout = 1"],
    },
    Behavior {
        name: "an index without ASYNC",
        service: "0A000 unsupported mode. please use CREATE INDEX ASYNC.",
        statements: &["CREATE INDEX ON t (id)"],
    },
    Behavior {
        name: "foreign keys",
        service: "23503",
        statements: &[
            "CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES t)",
            "INSERT INTO child VALUES (1, -1)",
        ],
    },
    Behavior {
        name: "a sequence without CACHE",
        service: "0A000 CREATE SEQUENCE is not supported without an explicit cache size. please \
                  define CACHE greater than or equal to 65536 or equal to 1",
        statements: &["CREATE SEQUENCE s"],
    },
    Behavior {
        name: "numeric without precision",
        service: "1.000000",
        statements: &[
            "CREATE TABLE n (id int PRIMARY KEY, v numeric)",
            "INSERT INTO n VALUES (1, 1)",
            "SELECT v FROM n",
        ],
    },
    Behavior {
        name: "an index right after ASYNC returned",
        service: "not valid yet",
        statements: &[
            "CREATE INDEX ASYNC built ON t (id)",
            "SELECT CASE WHEN indisvalid THEN 'valid' ELSE 'not valid yet' END \
             FROM pg_index WHERE indexrelid = 'built'::regclass",
        ],
    },
    Behavior {
        name: "a unique index that could not be built",
        service: "an invalid index",
        statements: &[
            "CREATE TABLE twice (id int PRIMARY KEY, v int)",
            "INSERT INTO twice VALUES (1, 1), (2, 1)",
            "CREATE UNIQUE INDEX ASYNC failed ON twice (v)",
            "SELECT CASE WHEN to_regclass('failed') IS NULL THEN 'no index' \
             ELSE 'an invalid index' END",
        ],
    },
    Behavior {
        name: "the end of EXPLAIN ANALYZE VERBOSE",
        service: "Statement DPU Estimate",
        statements: &["EXPLAIN ANALYZE VERBOSE SELECT 1"],
    },
    Behavior {
        name: "other functions in pg_catalog's pg_proc",
        service: "none",
        statements: &[
            "SELECT CASE count(*) WHEN 0 THEN 'none' ELSE 'those that enforce the rules' END \
             FROM pg_proc WHERE pronamespace = 'pg_toast'::regnamespace",
        ],
    },
];

#[tokio::test]
async fn behaviors_are_documented() {
    let mut table = "| behavior | service | dsql-local |\n|---|---|---|\n".to_owned();
    let mut add = |name: &str, service: &str, here: &str| {
        let here = if here == service { "same" } else { here };
        table += &format!("| {name} | {service} | {here} |\n");
    };
    for behavior in BEHAVIORS {
        let cluster = LocalCluster::start().await.unwrap();
        let mut wire = Wire::connect(&cluster).await;
        let mut last = wire.simple("CREATE TABLE t (id int PRIMARY KEY)").await;
        for statement in behavior.statements {
            last = wire.simple(statement).await;
        }
        let mut here = result(&last);
        if !behavior.service.contains(' ') && here.starts_with(behavior.service) {
            here = behavior.service.to_owned();
        }
        add(behavior.name, behavior.service, &here);
    }

    let cluster = LocalCluster::start().await.unwrap();
    let [mut one, mut two] = [Wire::connect(&cluster).await, Wire::connect(&cluster).await];
    one.simple("CREATE TABLE t (id int PRIMARY KEY, n int)")
        .await;
    one.simple("INSERT INTO t VALUES (1, 0)").await;
    two.simple("SELECT * FROM t").await;
    for wire in [&mut one, &mut two] {
        wire.simple("BEGIN").await;
        let written = wire.simple("UPDATE t SET n = n + 1").await;
        assert_eq!(result(&written), "UPDATE 1");
    }
    assert_eq!(result(&two.simple("COMMIT").await), "COMMIT");
    add(
        "COMMIT of the second of two writers of a row",
        "40001 change conflicts with another transaction (OC000)",
        &result(&one.simple("COMMIT").await),
    );
    one.simple("ALTER TABLE t ADD COLUMN m int").await;
    let stale = result(&two.simple("SELECT * FROM t").await);
    assert_eq!(result(&two.simple("SELECT * FROM t").await), "1");
    add(
        "the next statement after another session's definition of its table",
        "40001 schema has been updated by another transaction (OC001)",
        &stale,
    );
    let unknown = cluster.iam_user("unknown", &[]);
    cluster.forget(&unknown);
    let denied = refused(connect_as(&cluster, "admin", &unknown).await);
    add(
        "a token of unknown credentials",
        "08006 unable to accept connection, access denied",
        &format!("{} {}", denied.code().code(), denied.message()),
    );
    for (name, service, here) in NOT_IMITATED {
        add(name, service, here);
    }
    support::assert_documented("behavior", &table);
}

/// Differences that no statement shows.
const NOT_IMITATED: &[(&str, &str, &str)] = &[
    (
        "the age limit of a transaction",
        "at any time",
        "checked at its next statement",
    ),
    (
        "the limit of 10 MiB a transaction",
        "rows and index entries",
        "rows",
    ),
    ("cost", "DPUs", "none"),
    ("plans", "the service's own", "PostgreSQL's"),
    ("finished jobs", "listed for 30 minutes", "stay listed"),
    ("multi-Region clusters", "yes", "one Region"),
    ("backups, resource policies, tags", "yes", "no"),
];

/// Returns an answer's first error, last value, or command tag.
fn result(answers: &[Answer]) -> String {
    let answer = answers.last().unwrap();
    if let Some(error) = answers.iter().find_map(|answer| answer.error.as_ref()) {
        return format!("{} {}", error.sqlstate, error.message);
    }
    match answer.rows.last() {
        Some(row) => {
            let value = row[0].as_deref().unwrap_or("null");
            // The time differs in each run.
            value.split(':').next().unwrap_or(value).to_owned()
        }
        None => answer.tag.clone(),
    }
}
