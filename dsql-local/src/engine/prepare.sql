CREATE ROLE admin LOGIN CREATEROLE;

ALTER DATABASE postgres OWNER TO admin;

CREATE SCHEMA sys;

GRANT USAGE ON SCHEMA sys TO PUBLIC;

-- Objects of the server are in a schema that clients do not list.
GRANT USAGE ON SCHEMA pg_toast TO PUBLIC;

CREATE TABLE pg_toast.dsql_iam_grants (
    oid oid PRIMARY KEY,
    arn text NOT NULL,
    role oid NOT NULL,
    grantor oid NOT NULL,
    UNIQUE (arn, role)
);

CREATE VIEW sys.iam_pg_role_mappings AS
SELECT iam.oid AS iam_oid,
       iam.arn,
       role.oid AS pg_role_oid,
       role.rolname AS pg_role_name,
       grantor.oid AS grantor_pg_role_oid,
       grantor.rolname AS grantor_pg_role_name
FROM pg_toast.dsql_iam_grants iam
JOIN pg_roles role ON role.oid = iam.role
JOIN pg_roles grantor ON grantor.oid = iam.grantor;

GRANT SELECT ON sys.iam_pg_role_mappings TO PUBLIC;

CREATE FUNCTION pg_toast.dsql_only_admin(role name, caller name) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF caller <> 'admin' OR session_user <> 'admin' THEN
        RAISE insufficient_privilege
            USING MESSAGE = format('permission denied to grant IAM trust with role %s', role);
    END IF;
END $$;

CREATE FUNCTION pg_toast.dsql_iam_grant(role name, arn text, caller name) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    target oid;
    can_login boolean;
BEGIN
    PERFORM pg_toast.dsql_only_admin(role, caller);
    SELECT oid, rolcanlogin INTO target, can_login FROM pg_roles WHERE rolname = role;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('role "%s" does not exist', role);
    END IF;
    IF NOT can_login THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = format('role %s must have the LOGIN attribute', role);
    END IF;
    INSERT INTO pg_toast.dsql_iam_grants
    SELECT coalesce(max(grants.oid::bigint), 16383) + 1, $2, target, to_regrole(quote_ident($3))
    FROM pg_toast.dsql_iam_grants AS grants
    ON CONFLICT DO NOTHING;
END $$;

CREATE FUNCTION pg_toast.dsql_iam_revoke(role name, arn text, caller name) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_toast.dsql_only_admin(role, caller);
    DELETE FROM pg_toast.dsql_iam_grants AS grants
    WHERE grants.role = to_regrole(quote_ident($1)) AND grants.arn = $2;
END $$;

CREATE FUNCTION pg_toast.dsql_check_drop_role(role name) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_toast.dsql_iam_grants AS grants WHERE grants.role = to_regrole(quote_ident($1))) THEN
        RAISE dependent_objects_still_exist
            USING MESSAGE = format('role "%s" cannot be dropped because some objects depend on it', role);
    END IF;
END $$;

CREATE FUNCTION pg_toast.dsql_check_drop(relation text, columns name[], constraints name[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    key name;
BEGIN
    SELECT attname INTO key FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
    WHERE indrelid = to_regclass(relation) AND indisprimary AND attname = ANY (columns)
    ORDER BY attnum LIMIT 1;
    IF FOUND THEN
        RAISE feature_not_supported USING MESSAGE = format('cannot drop primary key column %s', key);
    END IF;
    IF EXISTS (
        SELECT FROM pg_constraint
        WHERE conrelid = to_regclass(relation) AND contype = 'p' AND conname = ANY (constraints)
    ) THEN
        RAISE feature_not_supported USING MESSAGE = 'unsupported ALTER TABLE DROP CONSTRAINT statement';
    END IF;
END $$;

CREATE FUNCTION pg_toast.dsql_check_row(relation oid, id tid, size int, key_size int, rows int) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF size > 1000000 THEN
        PERFORM pg_toast.dsql_check_values(relation, id);
    END IF;
    IF key_size > 2000 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'key size greater than 2000 bytes not supported';
    END IF;
    IF size > 2097152 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'maximum row size exceeded';
    END IF;
    IF rows > 3000 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'transaction row limit exceeded';
    END IF;
END $$;

-- The role may be allowed to write the row, but not to read it.
CREATE FUNCTION pg_toast.dsql_check_values(relation regclass, id tid) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    row_values jsonb;
    type text;
BEGIN
    EXECUTE format('SELECT to_jsonb(t) FROM %s t WHERE ctid = $1', relation) INTO row_values USING id;
    SELECT format_type(atttypid, NULL) INTO type
    FROM pg_attribute JOIN jsonb_each_text(row_values) ON key = attname
    WHERE attrelid = relation
    AND CASE atttypid WHEN 'bytea'::regtype THEN octet_length(value) / 2 - 1 ELSE octet_length(value) END > 1048576
    ORDER BY attnum LIMIT 1;
    IF FOUND THEN
        RAISE program_limit_exceeded
            USING MESSAGE = format('datatype limit greater than 1048576 bytes not supported for %s', type);
    END IF;
END $$;

CREATE FUNCTION pg_toast.dsql_refuse_size() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE program_limit_exceeded USING
        MESSAGE = 'transaction size limit 10mb exceeded',
        DETAIL = format('Current transaction size %smb > 10mb',
            round(pg_toast.dsql_counters() / 10000 / 1048576.0));
END $$;

CREATE FUNCTION pg_toast.dsql_check_columns(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    type text;
    is_identity boolean;
    size int;
BEGIN
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
    SELECT format_type(atttypid, NULL), CASE atttypid WHEN 'bpchar'::regtype THEN 4096 ELSE 65535 END
    INTO type, size
    FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
    AND (atttypid = 'bpchar'::regtype AND atttypmod > 4096 + 4
        OR atttypid = 'varchar'::regtype AND atttypmod > 65535 + 4)
    ORDER BY attnum LIMIT 1;
    IF FOUND THEN
        RAISE program_limit_exceeded
            USING MESSAGE = format('Datatype limit greater than %s not supported for %s', size, type);
    END IF;
    IF (SELECT count(*) FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped) > 255 THEN
        RAISE too_many_columns USING MESSAGE = 'tables can have at most 255 columns';
    END IF;
    IF EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND indnkeyatts > 8) THEN
        RAISE too_many_columns USING MESSAGE = 'more than 8 column keys in an index are not supported';
    END IF;
    SELECT format_type(atttypid, NULL) INTO type
    FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
    WHERE indrelid = relation AND atttypid IN ('json'::regtype, 'jsonb'::regtype) LIMIT 1;
    IF FOUND THEN
        RAISE feature_not_supported USING MESSAGE = format('datatype %s is not supported in a key', type);
    END IF;
    IF (SELECT count(*) FROM pg_index WHERE indrelid = relation AND NOT indisprimary) > 24 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'more than 24 indexes per table are not allowed';
    END IF;
    IF (SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = relation) > 5 THEN
        RAISE program_limit_exceeded
            USING MESSAGE = 'more than 5 extended statistics per table are not allowed';
    END IF;
    -- Without a precision the service stores 18 digits, 6 of them after the decimal point.
    UPDATE pg_attribute SET atttypmod = ((18 << 16) | 6) + 4
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
    AND atttypid = 'numeric'::regtype AND atttypmod = -1;
END $$;

CREATE FUNCTION pg_toast.dsql_watch_table() RETURNS event_trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    relation regclass;
    key_size text;
BEGIN
    IF tg_tag = 'CREATE SCHEMA' AND (
        SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'sys', 'information_schema')
    ) > 10 THEN
        RAISE program_limit_exceeded USING MESSAGE = 'more than 10 schemas not allowed';
    END IF;
    FOR relation IN
        SELECT DISTINCT CASE classid
            WHEN 'pg_statistic_ext'::regclass THEN (SELECT stxrelid FROM pg_statistic_ext WHERE oid = objid)
            ELSE coalesce((SELECT indrelid FROM pg_index WHERE indexrelid = objid), objid)
        END::regclass
        FROM pg_event_trigger_ddl_commands() WHERE object_type IN ('table', 'index', 'statistics object')
    LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_class WHERE oid = relation AND relkind = 'r');
        PERFORM pg_toast.dsql_check_columns(relation);
        CONTINUE WHEN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation AND tgname = 'dsql_written');
        -- The first four bytes of a value of variable length are its length. A key without such values is small.
        SELECT CASE WHEN bool_or(attlen = -1) THEN string_agg(format('pg_column_size(new.%I) - %s', attname,
            CASE attlen WHEN -1 THEN 4 ELSE 0 END), ' + ') ELSE '0' END INTO key_size
        FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
        WHERE indrelid = relation AND indisprimary;
        -- The condition is evaluated at each written row: it counts the row and adds it to the log. The trigger
        -- itself runs at commit. The engine parses the conditions at each statement, so they are short.
        EXECUTE format(
            'CREATE CONSTRAINT TRIGGER dsql_written AFTER INSERT ON %1$s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (pg_toast.dsql_count_row(new.tableoid, NULL, NULL, new.ctid, pg_column_size(new), %2$s))
            EXECUTE FUNCTION pg_toast.dsql_refuse_size();
            CREATE CONSTRAINT TRIGGER dsql_updated AFTER UPDATE ON %1$s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (pg_toast.dsql_count_row(new.tableoid, old.ctid, old.xmin, new.ctid, pg_column_size(new), %2$s))
            EXECUTE FUNCTION pg_toast.dsql_refuse_size();
            CREATE CONSTRAINT TRIGGER dsql_deleted AFTER DELETE ON %1$s
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
            WHEN (pg_toast.dsql_count_row(old.tableoid, old.ctid, old.xmin, NULL, pg_column_size(old), 0))
            EXECUTE FUNCTION pg_toast.dsql_refuse_size()',
            relation, key_size);
        -- Hidden from the table's owner: an internal trigger without a constraint.
        UPDATE pg_depend SET refclassid = 'pg_class'::regclass, refobjid = relation, refobjsubid = 0, deptype = 'a'
        FROM pg_trigger
        WHERE tgrelid = relation AND tgname IN ('dsql_written', 'dsql_updated', 'dsql_deleted')
        AND classid = 'pg_trigger'::regclass AND objid = pg_trigger.oid
        AND refclassid = 'pg_constraint'::regclass AND refobjid = tgconstraint;
        DELETE FROM pg_depend USING pg_trigger
        WHERE tgrelid = relation AND tgname IN ('dsql_written', 'dsql_updated', 'dsql_deleted')
        AND classid = 'pg_constraint'::regclass AND objid = tgconstraint;
        DELETE FROM pg_constraint USING pg_trigger
        WHERE tgrelid = relation AND tgname IN ('dsql_written', 'dsql_updated', 'dsql_deleted')
        AND pg_constraint.oid = tgconstraint;
        UPDATE pg_trigger SET tgisinternal = true, tgconstraint = 0
        WHERE tgrelid = relation AND tgname IN ('dsql_written', 'dsql_updated', 'dsql_deleted');
    END LOOP;
END $$;

CREATE EVENT TRIGGER dsql_tables ON ddl_command_end
WHEN TAG IN ('CREATE TABLE', 'CREATE SCHEMA', 'ALTER TABLE', 'CREATE INDEX', 'CREATE STATISTICS')
EXECUTE FUNCTION pg_toast.dsql_watch_table();

CREATE TABLE pg_toast.dsql_jobs (
    job_id text PRIMARY KEY,
    status text NOT NULL,
    details text,
    job_type text NOT NULL,
    class_id oid NOT NULL,
    object_id oid NOT NULL,
    object_name text,
    start_time timestamptz NOT NULL DEFAULT date_trunc('second', now()),
    update_time timestamptz NOT NULL DEFAULT date_trunc('second', clock_timestamp())
);

-- Sixteen bytes in base32. The last of the 26 characters has three bits.
CREATE FUNCTION pg_toast.dsql_job_id() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(substr('abcdefghijklmnopqrstuvwxyz234567', floor(random() * 32)::int + 1, 1), '')
        || substr('aeimquy4', floor(random() * 8)::int + 1, 1)
    FROM generate_series(1, 25)
$$;

CREATE FUNCTION pg_toast.dsql_note_job(job_type text, object text, details text) RETURNS text LANGUAGE sql
SECURITY DEFINER AS $$
    INSERT INTO pg_toast.dsql_jobs (job_id, status, details, job_type, class_id, object_id)
    SELECT pg_toast.dsql_job_id(), CASE WHEN details IS NULL THEN 'completed' ELSE 'failed' END, details, job_type,
        'pg_class'::regclass, coalesce(to_regclass(object), 0)
    RETURNING job_id
$$;

CREATE FUNCTION pg_toast.dsql_run_job(job_type text, object text, command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    details text;
BEGIN
    -- One build at a time: two builds of the same name must not both find that the index does not exist.
    PERFORM pg_advisory_xact_lock(hashtext('dsql_local.run_job'));
    BEGIN
        EXECUTE command;
    EXCEPTION WHEN integrity_constraint_violation OR data_exception THEN
        details := SQLERRM;
    END;
    RETURN pg_toast.dsql_note_job(job_type, object, details);
END $$;

CREATE VIEW sys.jobs AS SELECT * FROM pg_toast.dsql_jobs;

GRANT SELECT ON sys.jobs TO PUBLIC;

CREATE FUNCTION pg_toast.dsql_job_status(job_id text) RETURNS text LANGUAGE sql SECURITY DEFINER AS $$
    SELECT status FROM pg_toast.dsql_jobs WHERE dsql_jobs.job_id = $1
$$;

CREATE PROCEDURE pg_toast.dsql_wait_for_job(job_id text, INOUT succeeded boolean DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
    status text;
BEGIN
    IF $1 !~ '^[a-z2-7]{25}[aeimquy4]$' THEN
        RAISE invalid_text_representation USING MESSAGE = 'Unable to convert text to UUID';
    END IF;
    LOOP
        status := pg_toast.dsql_job_status($1);
        EXIT WHEN status IS DISTINCT FROM 'processing';
        -- A new transaction: this one's snapshot does not show later changes.
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
    IF status IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('job "%s" does not exist', $1);
    END IF;
    succeeded := status = 'completed';
END $$;

-- The server translates calls to the procedure above.
CREATE PROCEDURE sys.wait_for_job(job_id text) LANGUAGE sql AS '';

CREATE FUNCTION sys.current_session_id() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT md5(pid::text || backend_start::text)::uuid FROM pg_stat_get_activity(pg_backend_pid())
$$;

CREATE FUNCTION sys.dsql_major_version() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';

-- Functions and settings in which the engine and the service differ.
ALTER FUNCTION pg_catalog.version() RENAME TO dsql_engine_version;

CREATE FUNCTION pg_catalog.version() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT 'PostgreSQL 16'::text
$$;

CREATE FUNCTION pg_catalog.dsql_setting(name text, value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE lower(name)
        WHEN 'server_version' THEN '16.15'
        WHEN 'server_version_num' THEN '160015'
        WHEN 'max_connections' THEN '20'
        WHEN 'lock_timeout' THEN '0'
        WHEN 'deadlock_timeout' THEN '1000'
        ELSE value
    END
$$;

ALTER FUNCTION pg_catalog.current_setting(text) RENAME TO dsql_engine_setting;

ALTER FUNCTION pg_catalog.current_setting(text, boolean) RENAME TO dsql_engine_setting;

CREATE FUNCTION pg_catalog.current_setting(text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.dsql_setting($1, pg_catalog.dsql_engine_setting($1))
$$;

CREATE FUNCTION pg_catalog.current_setting(text, boolean) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT pg_catalog.dsql_setting($1, pg_catalog.dsql_engine_setting($1, $2))
$$;

ALTER FUNCTION pg_catalog.set_config(text, text, boolean) RENAME TO dsql_engine_set_config;

CREATE FUNCTION pg_toast.dsql_refuse_setting(name text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE feature_not_supported
        USING MESSAGE = format('setting configuration parameter "%s" not supported', name);
END $$;

-- asyncpg turns jit off with exactly this call.
CREATE FUNCTION pg_catalog.set_config(setting_name text, new_value text, is_local boolean) RETURNS text
LANGUAGE sql AS $$
    SELECT CASE WHEN lower($1) = ANY (ARRAY['application_name', 'client_encoding', 'datestyle', 'extra_float_digits',
        'intervalstyle', 'jit', 'timezone', 'search_path', 'enable_bitmapscan', 'enable_hashjoin',
        'enable_indexonlyscan', 'enable_indexscan', 'enable_material', 'enable_mergejoin', 'enable_nestloop',
        'enable_seqscan']) OR $1 LIKE 'dsql\_local.%'
    THEN pg_catalog.dsql_engine_set_config($1, $2, $3)
    WHEN $1 IS NULL THEN NULL
    ELSE pg_toast.dsql_refuse_setting(lower($1))
    END
$$;

-- CONFLICTS

CREATE OR REPLACE VIEW pg_catalog.pg_settings AS
SELECT name, pg_catalog.dsql_setting(name, setting) AS setting, unit, category, short_desc, extra_desc, context,
    vartype, source, min_val, max_val, enumvals, pg_catalog.dsql_setting(name, boot_val) AS boot_val,
    pg_catalog.dsql_setting(name, reset_val) AS reset_val, sourcefile, sourceline, pending_restart
FROM pg_show_all_settings() AS a
WHERE name NOT LIKE 'dsql\_local.%';

ALTER FUNCTION pg_catalog.pg_get_indexdef(oid) RENAME TO dsql_engine_indexdef;

ALTER FUNCTION pg_catalog.pg_get_indexdef(oid, integer, boolean) RENAME TO dsql_engine_indexdef;

CREATE FUNCTION pg_catalog.pg_get_indexdef(oid) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT replace(pg_catalog.dsql_engine_indexdef($1), ' USING btree ', ' USING btree_index ')
$$;

CREATE FUNCTION pg_catalog.pg_get_indexdef(oid, integer, boolean) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT replace(pg_catalog.dsql_engine_indexdef($1, $2, $3), ' USING btree ', ' USING btree_index ')
$$;

CREATE OR REPLACE VIEW pg_catalog.pg_indexes AS
SELECT n.nspname AS schemaname, c.relname AS tablename, i.relname AS indexname, t.spcname AS tablespace,
    pg_get_indexdef(i.oid) AS indexdef
FROM pg_index x
JOIN pg_class c ON c.oid = x.indrelid
JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_tablespace t ON t.oid = i.reltablespace
WHERE c.relkind IN ('r', 'm', 'p') AND i.relkind IN ('i', 'I');

CREATE OR REPLACE VIEW pg_catalog.pg_roles AS
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolconnlimit,
    '********'::text AS rolpassword, rolvaliduntil, rolbypassrls, setconfig AS rolconfig, pg_authid.oid
FROM pg_authid LEFT JOIN pg_db_role_setting s ON pg_authid.oid = s.setrole AND s.setdatabase = 0
WHERE rolname <> 'postgres';

CREATE OR REPLACE VIEW pg_catalog.pg_user AS
SELECT usename, usesysid, usecreatedb, usesuper, userepl, usebypassrls, '********'::text AS passwd, valuntil, useconfig
FROM pg_shadow
WHERE usename <> 'postgres';

ALTER TABLE pg_catalog.pg_event_trigger RENAME TO dsql_engine_event_trigger;

CREATE VIEW pg_catalog.pg_event_trigger AS
SELECT oid, evtname, evtevent, evtowner, evtfoid, evtenabled, evttags, tableoid FROM pg_catalog.dsql_engine_event_trigger
WHERE evtname <> 'dsql_tables';

GRANT SELECT ON pg_catalog.pg_event_trigger TO PUBLIC;

DO $$
DECLARE
    configuration name;
BEGIN
    FOR configuration IN SELECT cfgname FROM pg_ts_config WHERE cfgname <> 'simple' LOOP
        EXECUTE format('DROP TEXT SEARCH CONFIGURATION pg_catalog.%I', configuration);
    END LOOP;
END $$;

UPDATE pg_database SET datistemplate = false WHERE datname IN ('template0', 'template1');

DROP DATABASE template0;

DROP DATABASE template1;

VACUUM;

CHECKPOINT;
