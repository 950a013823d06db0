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

-- CONFLICTS

CREATE FUNCTION dsql_local.refuse_size() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE program_limit_exceeded USING
        MESSAGE = 'transaction size limit 10mb exceeded',
        DETAIL = format('Current transaction size %smb > 10mb',
            round(current_setting('dsql_local.written')::bigint / 10000 / 1048576.0));
END $$;

CREATE FUNCTION dsql_local.watch_table() RETURNS event_trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    relation regclass;
    type text;
    is_identity boolean;
    suffix text;
BEGIN
    FOR relation IN
        SELECT DISTINCT objid::regclass FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table'
    LOOP
        SELECT format_type(atttypid, NULL), attidentity <> '' INTO type, is_identity
        FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND typtype <> 'd'
        AND (atttypid <> ALL (ARRAY[
            'int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'bpchar', 'varchar', 'text', 'date', 'time',
            'timetz', 'timestamp', 'timestamptz', 'interval', 'bool', 'bytea', 'uuid', 'json', 'jsonb'
        ]::regtype[]) OR attidentity <> '' AND atttypid <> 'int8'::regtype)
        ORDER BY attnum LIMIT 1;
        IF FOUND THEN
            RAISE feature_not_supported USING MESSAGE = format('datatype %s not supported', type)
                || CASE WHEN is_identity THEN ', identity column type must be bigint' ELSE '' END;
        END IF;
        CONTINUE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'dsql_local_written');
        -- The condition is evaluated at once, for each row that is written: it counts, and notes which row it
        -- was. The trigger itself waits for the commit.
        EXECUTE format(
            'CREATE CONSTRAINT TRIGGER dsql_local_written AFTER INSERT ON %1$s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (dsql_local.count_row(pg_column_size(new), new.tableoid, NULL, NULL, new.ctid))
            EXECUTE FUNCTION dsql_local.refuse_size();
            CREATE CONSTRAINT TRIGGER dsql_local_updated AFTER UPDATE ON %1$s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (dsql_local.count_row(pg_column_size(new), new.tableoid, old.ctid, old.xmin, new.ctid))
            EXECUTE FUNCTION dsql_local.refuse_size();
            CREATE CONSTRAINT TRIGGER dsql_local_deleted AFTER DELETE ON %1$s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (dsql_local.count_row(pg_column_size(old), old.tableoid, old.ctid, old.xmin, NULL))
            EXECUTE FUNCTION dsql_local.refuse_size()',
            relation);
        -- Not for the table's owner to see.
        UPDATE pg_trigger SET tgisinternal = true
        WHERE tgrelid = relation AND tgname LIKE 'dsql\_local\_%';
    END LOOP;
END $$;

CREATE EVENT TRIGGER dsql_local_tables ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'CREATE SCHEMA', 'ALTER TABLE')
EXECUTE FUNCTION dsql_local.watch_table();

CREATE TABLE dsql_local.jobs (
    job_id text PRIMARY KEY,
    status text NOT NULL,
    details text,
    job_type text NOT NULL,
    class_id oid NOT NULL,
    object_id oid NOT NULL,
    object_name text,
    start_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION dsql_local.job_id() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(substr('abcdefghijklmnopqrstuvwxyz234567', (random() * 31)::int + 1, 1), '')
    FROM generate_series(1, 26)
$$;

CREATE FUNCTION dsql_local.note_job(job_type text, object text, details text) RETURNS text LANGUAGE sql
SECURITY DEFINER AS $$
    INSERT INTO dsql_local.jobs (job_id, status, details, job_type, class_id, object_id, object_name)
    SELECT dsql_local.job_id(), CASE WHEN details IS NULL THEN 'completed' ELSE 'failed' END, details, job_type,
        'pg_class'::regclass, coalesce(to_regclass(object), 0), object
    RETURNING job_id
$$;

CREATE FUNCTION dsql_local.run_job(job_type text, object text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    details text;
BEGIN
    -- One build at a time: two of the same name would otherwise both find that there is none yet.
    PERFORM pg_advisory_xact_lock(hashtext('dsql_local.run_job'));
    BEGIN
        EXECUTE command;
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
        details := SQLERRM;
    END;
    RETURN dsql_local.note_job(job_type, object, details);
END $$;

CREATE VIEW sys.jobs AS SELECT * FROM dsql_local.jobs;

GRANT SELECT ON sys.jobs TO PUBLIC;

CREATE FUNCTION dsql_local.job_status(job_id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
    SELECT status FROM dsql_local.jobs WHERE jobs.job_id = $1
$$;

CREATE PROCEDURE sys.wait_for_job(job_id text, INOUT succeeded boolean DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    status text;
BEGIN
    IF $1 !~ '^[a-z2-7]{26}$' THEN
        RAISE invalid_text_representation USING MESSAGE = format('invalid job id: "%s"', $1);
    END IF;
    LOOP
        status := dsql_local.job_status($1);
        EXIT WHEN status IS DISTINCT FROM 'processing';
        -- The next look is another transaction's: this one sees what there was when it began.
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
    IF status IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('job "%s" does not exist', $1);
    END IF;
    succeeded := status = 'completed';
END $$;

UPDATE pg_database SET datistemplate = false WHERE datname = 'template0';

DROP DATABASE template0;

DROP DATABASE postgres;

VACUUM;

CHECKPOINT;
