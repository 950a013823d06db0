CREATE ROLE admin LOGIN CREATEROLE;

CREATE SCHEMA sys;

GRANT USAGE ON SCHEMA sys TO PUBLIC;

CREATE SCHEMA dsql_local;

GRANT USAGE ON SCHEMA dsql_local TO PUBLIC;

CREATE TABLE dsql_local.roles (
    name name PRIMARY KEY,
    can_login boolean NOT NULL
);

CREATE TABLE dsql_local.iam_grants (
    oid oid PRIMARY KEY,
    arn text NOT NULL,
    role name NOT NULL REFERENCES dsql_local.roles,
    grantor name NOT NULL,
    UNIQUE (arn, role)
);

CREATE SEQUENCE dsql_local.iam_oid START 16384;

GRANT SELECT ON dsql_local.roles, dsql_local.iam_grants TO PUBLIC;

GRANT INSERT, UPDATE, DELETE ON dsql_local.roles, dsql_local.iam_grants TO admin;

GRANT USAGE ON SEQUENCE dsql_local.iam_oid TO admin;

INSERT INTO dsql_local.roles VALUES ('admin', true);

CREATE VIEW sys.iam_pg_role_mappings AS
SELECT iam.oid AS iam_oid,
       iam.arn,
       role.oid AS pg_role_oid,
       role.rolname AS pg_role_name,
       grantor.oid AS grantor_pg_role_oid,
       grantor.rolname AS grantor_pg_role_name
FROM dsql_local.iam_grants iam
JOIN pg_roles role ON role.rolname = iam.role
JOIN pg_roles grantor ON grantor.rolname = iam.grantor;

GRANT SELECT ON sys.iam_pg_role_mappings TO PUBLIC;

UPDATE pg_database SET datistemplate = false WHERE datname = 'template0';

DROP DATABASE template0;

DROP DATABASE postgres;

VACUUM;

CHECKPOINT;
