//! Statements that the cluster refuses or accepts.

/// Creates the objects that the other statements use.
pub(crate) const TABLES: &[&str] = &[
    "CREATE TABLE t (id int PRIMARY KEY, value text)",
    "CREATE TABLE keyed (id text PRIMARY KEY)",
    "CREATE TABLE wide (a text, b text, c text)",
    "CREATE TABLE numbers (n numeric)",
    "CREATE DOMAIN d AS int",
];

const LOCKING: &str = "locking clauses other than FOR UPDATE/FOR KEY SHARE are not supported";
const ADVISORY: &str = "function pg_advisory_lock not supported";
const CTAS: &str = "unsupported statement: CreateTableAs";
const TRUNCATE: &str = "unsupported statement: Truncate";
const TEMPORARY: &str = "TEMPORARY or TEMP table not supported for CREATE TABLE";
const IDENTITY: &str = "identity column is not supported without an explicit cache size. \
                        please define CACHE greater than or equal to 65536 or equal to 1";

/// Refused statements with their SQLSTATE and message.
pub(crate) const REFUSED: &[(&str, &str, &str)] = &[
    ("(SELECT id FROM t FOR SHARE)", "0A000", LOCKING),
    ("((SELECT id FROM t) FOR NO KEY UPDATE)", "0A000", LOCKING),
    (
        "SELECT * FROM (SELECT id FROM t FOR SHARE) x",
        "0A000",
        LOCKING,
    ),
    (
        "WITH x AS (SELECT id FROM t FOR SHARE) SELECT * FROM x",
        "0A000",
        LOCKING,
    ),
    (
        "COPY (SELECT id FROM t FOR SHARE) TO STDOUT",
        "0A000",
        LOCKING,
    ),
    (
        "CREATE VIEW v AS SELECT id FROM t FOR SHARE",
        "0A000",
        LOCKING,
    ),
    (
        "EXPLAIN (COSTS off) SELECT id FROM t FOR SHARE",
        "0A000",
        LOCKING,
    ),
    ("EXPLAIN (SELECT id FROM t FOR SHARE)", "0A000", LOCKING),
    ("INSERT INTO t SELECT id FROM t FOR SHARE", "0A000", LOCKING),
    ("EXPLAIN SELECT pg_advisory_lock(1)", "0A000", ADVISORY),
    (
        "SELECT 1 WHERE pg_catalog.pg_advisory_lock(1) IS NULL",
        "0A000",
        ADVISORY,
    ),
    ("SELECT \"pg_advisory_lock\"(1)", "0A000", ADVISORY),
    (
        "CREATE VIEW v AS SELECT pg_advisory_lock(1)",
        "0A000",
        ADVISORY,
    ),
    (
        "UPDATE t SET value = pg_advisory_lock(1)::text",
        "0A000",
        ADVISORY,
    ),
    ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", "0A000", CTAS),
    (
        "EXPLAIN CREATE MATERIALIZED VIEW x AS SELECT 1",
        "0A000",
        CTAS,
    ),
    ("CREATE TEMP TABLE x AS SELECT 1", "0A000", CTAS),
    (
        "EXPLAIN EXECUTE p",
        "0A000",
        "unsupported statement: Execute",
    ),
    ("EXECUTE p(1)", "0A000", "unsupported statement: Execute"),
    (
        "PREPARE p AS SELECT 1",
        "0A000",
        "unsupported statement: Prepare",
    ),
    (
        "PREPARE p (int) AS SELECT $1",
        "0A000",
        "unsupported statement: Prepare",
    ),
    (
        "DECLARE c CURSOR FOR SELECT 1",
        "0A000",
        "unsupported statement: DeclareCursor",
    ),
    ("DEALLOCATE p", "0A000", "unsupported statement: Deallocate"),
    (
        "ALTER ROLE admin LOGIN",
        "0A000",
        "unsupported statement: AlterRole",
    ),
    (
        "ALTER ROLE admin SET search_path = 'public'",
        "0A000",
        "unsupported statement: AlterRoleSet",
    ),
    (
        "ALTER INDEX t_pkey RENAME TO other",
        "0A000",
        "unsupported object in RENAME statement",
    ),
    (
        "ALTER FUNCTION f(int) IMMUTABLE",
        "0A000",
        "unsupported statement: AlterFunction",
    ),
    (
        "ALTER TABLE t ADD PRIMARY KEY USING INDEX i",
        "0A000",
        "unsupported ALTER TABLE ADD CONSTRAINT statement",
    ),
    (
        "ALTER TABLE t ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (CACHE 1)",
        "0A000",
        "unsupported ALTER TABLE ALTER COLUMN ... ADD IDENTITY statement",
    ),
    (
        "DROP MATERIALIZED VIEW IF EXISTS v",
        "0A000",
        "unsupported object in DROP statement",
    ),
    ("DISCARD ALL", "0A000", "unsupported statement: Discard"),
    (
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'TRUNCATE t'",
        "0A000",
        TRUNCATE,
    ),
    (
        "CREATE FUNCTION f() RETURNS void AS $$ SELECT 1; TRUNCATE t $$ LANGUAGE sql",
        "0A000",
        TRUNCATE,
    ),
    (
        "CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql \
         AS 'CREATE TEMP TABLE x (id int)'",
        "0A000",
        TEMPORARY,
    ),
    (
        "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE sql \
         BEGIN ATOMIC SELECT id FROM t FOR SHARE; END",
        "0A000",
        LOCKING,
    ),
    (
        "CREATE SCHEMA s CREATE TABLE t (id serial)",
        "42704",
        "type \"serial\" does not exist",
    ),
    (
        "CREATE SCHEMA s CREATE TABLE a (id int) CREATE TEMP TABLE t (id int)",
        "0A000",
        TEMPORARY,
    ),
    (
        "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'",
        "0A000",
        "PROCEDURE is not supported",
    ),
    (
        "CREATE TABLE x (serial serial)",
        "42704",
        "type \"serial\" does not exist",
    ),
    (
        "CREATE TABLE x (\"id\" BIGSERIAL PRIMARY KEY)",
        "42704",
        "type \"bigserial\" does not exist",
    ),
    (
        "CREATE TABLE x (id bigint GENERATED ALWAYS AS IDENTITY, v text)",
        "0A000",
        IDENTITY,
    ),
    (
        "CREATE TABLE x (id bigint GENERATED BY DEFAULT AS IDENTITY (START 5))",
        "0A000",
        IDENTITY,
    ),
    (
        "CREATE TABLE x (id bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 100))",
        "22023",
        "CACHE (100) must be greater than or equal to 65536 or equal to 1",
    ),
    (
        "CREATE SEQUENCE x CACHE 2",
        "22023",
        "CACHE (2) must be greater than or equal to 65536 or equal to 1",
    ),
    (
        "CREATE SEQUENCE x AS int CACHE 1",
        "22023",
        "sequence type must be bigint",
    ),
    (
        "CREATE TABLE x (v text COLLATE \"C\")",
        "0A000",
        "COLLATE clause not supported",
    ),
    (
        "CREATE TABLE x (id int) PARTITION BY RANGE (id)",
        "0A000",
        "PARTITION BY clause not supported for CREATE TABLE",
    ),
    (
        "CREATE TABLE x (id int) WITH (fillfactor = 50)",
        "0A000",
        "WITH clause not supported for CREATE TABLE",
    ),
    (
        "CREATE TABLE x OF y",
        "0A000",
        "OF clause not supported for CREATE TABLE",
    ),
    (
        "CREATE INDEX ASYNC i ON t USING btree (value)",
        "0A000",
        "USING not supported for CREATE INDEX",
    ),
    (
        "CREATE INDEX ASYNC i ON t (value text_pattern_ops)",
        "0A000",
        "opclass not supported for index keys",
    ),
    (
        "CREATE INDEX ASYNC i ON t (lower(value) ASC)",
        "0A000",
        "specifying sort order not supported for index keys",
    ),
    (
        "CREATE INDEX ASYNC i ON t (value NULLS FIRST)",
        "0A000",
        "specifying sort order not supported for index keys",
    ),
    (
        "ALTER TABLE t ALTER COLUMN value SET NOT NULL",
        "0A000",
        "unsupported ALTER TABLE ALTER COLUMN ... SET NOT NULL statement",
    ),
    (
        "ALTER TABLE t ALTER value SET STATISTICS 5",
        "0A000",
        "unsupported ALTER TABLE ALTER COLUMN ... SET STATISTICS statement",
    ),
    (
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "0A000",
        "unsupported ALTER TABLE ENABLE ROW SECURITY statement",
    ),
    (
        "ALTER TABLE t SET UNLOGGED",
        "0A000",
        "unsupported ALTER TABLE SET UNLOGGED statement",
    ),
    (
        "ALTER TABLE t SET (fillfactor = 50)",
        "0A000",
        "unsupported ALTER TABLE SET statement",
    ),
    (
        "ALTER TABLE t INHERIT y",
        "0A000",
        "unsupported ALTER TABLE INHERIT statement",
    ),
    (
        "ALTER TABLE owner ALTER COLUMN value TYPE int",
        "0A000",
        "unsupported ALTER TABLE ALTER COLUMN ... SET DATA TYPE statement",
    ),
    (
        "ALTER TABLE IF EXISTS ONLY public.t ADD COLUMN c int, ADD d int DEFAULT 1",
        "0A000",
        "ALTER TABLE ADD COLUMN with constraint not supported",
    ),
    (
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "0A000",
        "unsupported ALTER TABLE DROP CONSTRAINT statement",
    ),
    (
        "ALTER TABLE t DROP COLUMN id",
        "0A000",
        "cannot drop primary key column id",
    ),
    (
        "ALTER TABLE t DROP IF EXISTS value, DROP id CASCADE",
        "0A000",
        "cannot drop primary key column id",
    ),
    (
        "ALTER TYPE y RENAME TO z",
        "0A000",
        "unsupported object in RENAME statement",
    ),
    (
        "DROP DOMAIN d CASCADE",
        "0A000",
        "DROP DOMAIN with CASCADE unsupported",
    ),
    (
        "SELECT line('{1,2,3}')",
        "0A000",
        "datatype line not supported",
    ),
    (
        "SELECT '<(0,0),1>'::circle",
        "0A000",
        "datatype circle not supported",
    ),
    (
        "SELECT set_config('statement_timeout', '1', false)",
        "0A000",
        "setting configuration parameter \"statement_timeout\" not supported",
    ),
    (
        "SELECT set_config('statement_' || 'timeout', '1', false)",
        "0A000",
        "setting configuration parameter \"statement_timeout\" not supported",
    ),
    (
        "SET jit = off",
        "0A000",
        "setting configuration parameter \"jit\" not supported",
    ),
    (
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "0A000",
        "Unsupported isolation level: SERIALIZABLE",
    ),
    (
        "CREATE TABLE x (v varchar(65536))",
        "54000",
        "Datatype limit greater than 65535 not supported for character varying",
    ),
    (
        "CREATE TABLE x (v char(4097))",
        "54000",
        "Datatype limit greater than 4096 not supported for character",
    ),
    (
        "CREATE TABLE x (id int PRIMARY KEY, v jsonb, UNIQUE (v))",
        "0A000",
        "datatype jsonb is not supported in a key",
    ),
    (
        "CREATE TABLE x (a int, b int, c int, d int, e int, f int, g int, h int, i int, \
         UNIQUE (a, b, c, d, e, f, g, h, i))",
        "54011",
        "more than 8 column keys in an index are not supported",
    ),
    (
        "INSERT INTO t VALUES (1, repeat('x', 1048577))",
        "54000",
        "datatype limit greater than 1048576 bytes not supported for text",
    ),
    (
        "INSERT INTO keyed VALUES (repeat('x', 2001))",
        "54000",
        "key size greater than 2000 bytes not supported",
    ),
    (
        "INSERT INTO wide SELECT v, v, v FROM repeat('x', 900000) v",
        "54000",
        "maximum row size exceeded",
    ),
    (
        "INSERT INTO numbers VALUES (1e12)",
        "22003",
        "numeric field overflow",
    ),
];

/// Accepted statements, in this order.
pub(crate) const ACCEPTED: &[&str] = &[
    "CREATE TABLE x (serial int, language text, \"share\" text, owner text, line text)",
    "SELECT serial, line, owner FROM x",
    "SELECT substring(language from 1 for owner::int) FROM x",
    "CREATE FUNCTION g(language text, returns_serial int) RETURNS text LANGUAGE sql \
     AS $$ SELECT language $$",
    "CREATE TABLE owner (id int PRIMARY KEY)",
    "ALTER TABLE owner ADD COLUMN add text",
    "ALTER TABLE owner RENAME COLUMN add TO validate",
    "ALTER TABLE owner OWNER TO admin",
    "ALTER TABLE owner DROP COLUMN validate",
    "CREATE INDEX ASYNC ON t USING btree_index (value)",
    "CREATE INDEX ASYNC ON t ((lower(value)), (value || 'asc'))",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "SELECT set_config('jit', 'off', false)",
    "SELECT set_config('search_path', 'public', false)",
    "EXPLAIN (ANALYZE, COSTS off) SELECT id FROM t FOR UPDATE",
    "EXPLAIN (SELECT id FROM t)",
    "SELECT 'FOR SHARE', \"id\" AS share FROM t",
    "SELECT id AS into FROM t",
    "COPY (SELECT id FROM t) TO STDOUT",
    "CREATE SCHEMA s CREATE TABLE t (id int)",
    "DROP SCHEMA s CASCADE",
    "ALTER TABLE t ALTER COLUMN value SET DEFAULT 'x'",
    "ALTER TABLE t ALTER COLUMN value DROP NOT NULL",
    "ANALYZE",
    "DEALLOCATE ALL",
    "GRANT CONNECT ON DATABASE postgres TO admin",
    "SELECT * FROM postgres.public.t",
    "INSERT INTO keyed VALUES (repeat('x', 2000))",
    "CREATE STATISTICS st ON id, value FROM t",
    "CREATE ROLE app LOGIN",
    "ALTER ROLE app RENAME TO application",
    "DROP ROLE application",
];
