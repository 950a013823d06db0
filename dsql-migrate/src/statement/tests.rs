use super::*;

fn kind(sql: &str) -> Result<Kind, Refusal> {
    let statements = dsql_sql::split(sql);
    assert_eq!(statements.len(), 1, "{sql}");
    classify(&statements[0].tokens)
}

#[test]
fn repeatable_statements_are_accepted() {
    for sql in [
        "CREATE TABLE IF NOT EXISTS t (id int PRIMARY KEY)",
        "create schema if not exists s",
        "CREATE SEQUENCE IF NOT EXISTS s CACHE 1",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD IF NOT EXISTS b numeric(1, 2)",
        "ALTER TABLE ONLY s.t DROP COLUMN IF EXISTS a, DROP CONSTRAINT IF EXISTS c",
        "ALTER TABLE t ALTER a SET DEFAULT 1, ALTER COLUMN b DROP NOT NULL",
        "ALTER TABLE t OWNER TO r",
        "ALTER TABLE IF EXISTS t RENAME TO u",
        "ALTER TABLE IF EXISTS t SET SCHEMA s",
        "ALTER INDEX IF EXISTS i RENAME TO j",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r",
        "ALTER ROLE r WITH LOGIN",
        "DROP TABLE IF EXISTS t",
        "GRANT SELECT ON t TO r",
        "COMMENT ON TABLE t IS 'x'",
        "ANALYZE t",
    ] {
        assert_eq!(kind(sql), Ok(Kind::Definition), "{sql}");
    }
    for sql in [
        "INSERT INTO t VALUES (1)",
        "WITH a AS (SELECT 1) UPDATE t SET id = 2",
        "SELECT setval('s', 1)",
    ] {
        assert_eq!(kind(sql), Ok(Kind::Change), "{sql}");
    }
}

#[test]
fn effects_are_read_from_statements() {
    let table = || Name {
        schema: Some("S".to_owned()),
        name: "t".to_owned(),
    };
    let role = || "app".to_owned();
    let arn = || "arn:x".to_owned();
    for (sql, effect) in [
        (
            "ALTER TABLE \"S\".T ADD CONSTRAINT c CHECK (a > 0) NOT VALID",
            Effect::Constraint {
                table: table(),
                constraint: "c".to_owned(),
            },
        ),
        (
            "ALTER TABLE \"S\".t RENAME COLUMN a TO b",
            Effect::RenamedColumn {
                table: table(),
                column: "b".to_owned(),
            },
        ),
        ("CREATE ROLE app WITH LOGIN", Effect::Role(role())),
        ("ALTER ROLE old RENAME TO app", Effect::Role(role())),
        ("ALTER SCHEMA old RENAME TO app", Effect::Schema(role())),
        ("CREATE DOMAIN \"S\".t AS int", Effect::Domain(table())),
        (
            "AWS IAM GRANT app TO 'arn:x'",
            Effect::Trust {
                role: role(),
                arn: arn(),
            },
        ),
        (
            "AWS IAM REVOKE app FROM 'arn:x'",
            Effect::NoTrust {
                role: role(),
                arn: arn(),
            },
        ),
    ] {
        assert_eq!(kind(sql), Ok(Kind::Effect(effect)), "{sql}");
    }
    assert_eq!(
        kind("CREATE UNIQUE INDEX ASYNC IF NOT EXISTS i ON \"S\".t (a)"),
        Ok(Kind::Index(Index {
            name: "i".to_owned(),
            table: table(),
        }))
    );
    assert_eq!(
        kind("ALTER TABLE ASYNC \"S\".t VALIDATE CONSTRAINT c"),
        Ok(Kind::Validation {
            table: table(),
            constraint: "c".to_owned(),
        })
    );
}

#[test]
fn statements_that_fail_twice_are_refused_with_a_remedy() {
    for (sql, remedy) in [
        ("CREATE TABLE t (id int)", "CREATE TABLE IF NOT EXISTS .."),
        ("CREATE VIEW v AS SELECT 1", "CREATE OR REPLACE VIEW .."),
        (
            "CREATE INDEX i ON t (a)",
            "CREATE INDEX ASYNC IF NOT EXISTS name ON table ..",
        ),
        (
            "CREATE UNIQUE INDEX ASYNC i ON t (a)",
            "CREATE UNIQUE INDEX ASYNC IF NOT EXISTS name ON table ..",
        ),
        ("ALTER TABLE t ADD a int", "ADD COLUMN IF NOT EXISTS .."),
        (
            "ALTER TABLE t ADD COLUMN IF NOT EXISTS a int, ADD COLUMN b int",
            "ADD COLUMN IF NOT EXISTS ..",
        ),
        ("ALTER TABLE t ADD CHECK (a > 0)", "ADD CONSTRAINT name .."),
        (
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0), OWNER TO r",
            "a statement of its own for this action",
        ),
        ("ALTER TABLE t DROP a", "DROP COLUMN IF EXISTS .."),
        (
            "ALTER TABLE t DROP CONSTRAINT c",
            "DROP CONSTRAINT IF EXISTS ..",
        ),
        ("ALTER TABLE t RENAME TO u", "ALTER TABLE IF EXISTS .."),
        ("ALTER VIEW v RENAME TO u", "ALTER VIEW IF EXISTS .."),
        (
            "ALTER TABLE t VALIDATE CONSTRAINT c",
            "ALTER TABLE ASYNC .. VALIDATE CONSTRAINT ..",
        ),
        ("DROP TABLE t", "DROP TABLE IF EXISTS .."),
    ] {
        let refusal = kind(sql).expect_err(sql);
        assert_eq!(refusal.remedy, format!("write {remedy}"), "{sql}");
        assert_eq!(refusal.rule, NOT_REPEATABLE, "{sql}");
        assert!(refusal.can_be_allowed());
    }
}

#[test]
fn a_missing_async_is_the_reason_of_its_refusal() {
    let name = "IF NOT EXISTS i ON t (a)";
    for sql in [
        &format!("CREATE INDEX {name}"),
        "CREATE UNIQUE INDEX i ON t (a)",
        "ALTER TABLE t VALIDATE CONSTRAINT c",
    ] {
        let what = kind(sql).expect_err(sql).what;
        assert!(
            what.ends_with("in the background alone, by ASYNC"),
            "{what}"
        );
    }
    let what = kind("CREATE INDEX ASYNC i ON t (a)").expect_err("i").what;
    assert_eq!(what, "it fails when it runs again after an interruption");
    assert!(kind(&format!("CREATE INDEX ASYNC {name}")).is_ok());
}

#[test]
fn transactions_and_settings_cannot_be_allowed() {
    for sql in [
        "BEGIN",
        "COMMIT",
        "SET search_path TO s",
        "COPY t FROM STDIN",
        "CALL sys.wait_for_job('x')",
        "TRUNCATE t",
    ] {
        assert!(!kind(sql).expect_err(sql).can_be_allowed(), "{sql}");
    }
    for sql in ["DO $$ $$", "CREATE TYPE t AS (a int)", "AWS IAM GRANT"] {
        assert_eq!(kind(sql).expect_err(sql).rule, UNKNOWN_STATEMENT, "{sql}");
    }
}
