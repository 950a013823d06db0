-- The log of a transaction's writes and locks is in settings, because a rollback to a savepoint restores settings.
-- It has one part for each 64 written rows, because each entry copies the part that it is added to. One more setting
-- has the counters: the written rows in the last four digits, their bytes in those before.
CREATE FUNCTION pg_toast.dsql_counters() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(pg_catalog.dsql_engine_setting('dsql_local.written', true), ''), '0')::bigint
$$;

-- Adds entries to the log. Each ends in a semicolon.
CREATE FUNCTION pg_toast.dsql_note(entries text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := 'dsql_local.log' || pg_toast.dsql_counters() % 10000 / 64;
BEGIN
    PERFORM pg_catalog.dsql_engine_set_config(
        part, concat(pg_catalog.dsql_engine_setting(part, true), entries), true);
END $$;

-- Adds a written row to the counters and to the log. Returns whether the transaction wrote too many bytes.
CREATE FUNCTION pg_toast.dsql_count_row(
    relation oid, old_id tid, old_xmin xid, new_id tid, size int, key_size int
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    counters bigint := pg_toast.dsql_counters() + size::bigint * 10000 + 1;
    part text := 'dsql_local.log' || counters % 10000 / 64;
BEGIN
    IF session_user = 'postgres' THEN
        RETURN false;
    END IF;
    IF size > 1000000 OR key_size > 2000 OR counters % 10000 > 3000 THEN
        PERFORM pg_toast.dsql_check_row(relation, new_id, size, key_size, (counters % 10000)::int);
    END IF;
    -- The engine evaluates an assignment faster than PERFORM.
    part := pg_catalog.dsql_engine_set_config('dsql_local.written', counters::text, true)
        || pg_catalog.dsql_engine_set_config(part, concat(pg_catalog.dsql_engine_setting(part, true),
            relation, '|', old_id, '|', old_xmin, '|', new_id, ';'), true);
    RETURN counters / 10000 > 10485760;
END $$;

CREATE FUNCTION pg_toast.dsql_written() RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(pg_catalog.dsql_engine_setting('dsql_local.log' || part, true), '' ORDER BY part), '')
    FROM generate_series(0, pg_toast.dsql_counters() % 10000 / 64) part
$$;

CREATE FUNCTION pg_toast.dsql_transaction_ids() RETURNS SETOF bigint LANGUAGE sql AS $$
    SELECT transactionid::text::bigint FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'transactionid'
$$;

-- Stores the latest subtransaction before a statement that locks rows.
CREATE FUNCTION pg_toast.dsql_before_locks() RETURNS void LANGUAGE sql AS $$
    SELECT pg_catalog.dsql_engine_set_config('dsql_local.before',
        (SELECT coalesce(max(id), 0) FROM pg_toast.dsql_transaction_ids() AS id)::text, true)
$$;

-- The functions below that only read tables wait longer for a lock than the statements of sessions do: VACUUM
-- holds an exclusive lock for some milliseconds when it truncates a table.

-- Adds the rows that the transaction locked to its log. FOR UPDATE and FOR KEY SHARE leave the id of the
-- subtransaction in the row; rows that several transactions lock have the id of a list instead.
CREATE FUNCTION pg_toast.dsql_note_locks(kind text, latest boolean) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET lock_timeout = '1s' SET search_path = pg_catalog AS $$
DECLARE
    mine text[];
    relation oid;
    locked text;
BEGIN
    SELECT array_agg(id::text) INTO mine FROM pg_toast.dsql_transaction_ids() AS id
    WHERE NOT latest OR id > coalesce(nullif(current_setting('dsql_local.before', true), '')::bigint, 0);
    IF mine IS NULL THEN
        RETURN;
    END IF;
    FOR relation IN
        SELECT lock.relation FROM pg_locks lock JOIN pg_class class ON class.oid = lock.relation
        WHERE pid = pg_backend_pid() AND mode = 'RowShareLock' AND relkind = 'r'
    LOOP
        EXECUTE format(
            'SELECT string_agg(concat(%1$s, ''|'', t.ctid, ''|'', t.xmin, ''|'', $1, '';''), '''') FROM %2$s t
            WHERE xmax <> 0 AND (xmax::text = ANY ($2) OR pg_toast.dsql_shares(xmax::text, $2))',
            relation, relation::regclass) INTO locked USING kind, mine;
        PERFORM pg_toast.dsql_note(locked);
    END LOOP;
END $$;

CREATE FUNCTION pg_toast.dsql_shares(list text, mine text[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pg_get_multixact_members(list::xid) WHERE xid::text = ANY (mine));
EXCEPTION WHEN OTHERS THEN
    -- The id is not that of a list.
    RETURN false;
END $$;

-- Returns the log of what the transaction wrote and locked: the row (that of the cluster's table, if this is a
-- copy), its new version, and its unique keys. Rows that foreign keys of new versions refer to follow, as locked.
CREATE FUNCTION pg_toast.dsql_writes() RETURNS TABLE (
    at bigint, relation oid, old_id text, new_id text, source oid, base_id text, base_xmin text, image text,
    keys text, lock text
) LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '1s' SET search_path = pg_catalog SET datestyle = 'ISO'
SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET bytea_output = 'hex' SET timezone = 'UTC' AS $$
#variable_conflict use_column
DECLARE
    entries text[] := string_to_array(rtrim(pg_toast.dsql_written(), ';'), ';');
    has_copies boolean := to_regclass('pg_temp.dsql_local_copies') IS NOT NULL;
    written oid;
    original oid;
    fk pg_constraint;
BEGIN
    FOR written IN SELECT DISTINCT split_part(entry, '|', 1)::oid FROM unnest(entries) AS entry LOOP
        original := pg_toast.dsql_source(written, has_copies);
        RETURN QUERY EXECUTE format(
            'SELECT e.at, %1$s::oid, e.old_id, CASE WHEN e.lock IS NULL THEN e.new_id END, %2$s::oid, %3$s, t::text,
                CASE WHEN e.lock IS NULL THEN %4$s END, e.lock
            FROM (
                SELECT at, nullif(part[2], '''') AS old_id, nullif(part[3], '''') AS old_xmin,
                    nullif(part[4], '''') AS new_id, CASE WHEN part[4] LIKE ''@%%'' THEN part[4] END AS lock
                FROM unnest($1) WITH ORDINALITY AS entry(entry, at), string_to_array(entry, ''|'') AS part
                WHERE part[1] = ''%1$s''
            ) AS e
            LEFT JOIN %5$s t ON t.ctid = (CASE WHEN e.lock IS NULL THEN e.new_id ELSE e.old_id END)::tid %6$s',
            written, original, CASE WHEN has_copies THEN 'r.id::text, r.xmin_was::text' ELSE 'e.old_id, e.old_xmin' END,
            pg_toast.dsql_keys(original), written::regclass,
            CASE WHEN has_copies THEN format('LEFT JOIN pg_temp.dsql_local_rows r
                ON r.copy = %s AND r.copy_id = e.old_id::tid', written) END) USING entries;
    END LOOP;
    FOR fk IN
        SELECT * FROM pg_constraint WHERE contype = 'f' AND conrelid IN (
            SELECT pg_toast.dsql_source(split_part(entry, '|', 1)::oid, has_copies) FROM unnest(entries) AS entry)
    LOOP
        RETURN QUERY EXECUTE format(
            'SELECT NULL::bigint, NULL::oid, NULL, NULL, %1$s::oid, %2$s, p::text, NULL, ''@S''
            FROM %3$s p %4$s
            WHERE EXISTS (SELECT FROM %5$s c WHERE %6$s AND c.ctid = ANY (
                SELECT nullif(split_part(entry, ''|'', 4), '''')::tid FROM unnest($1) AS entry
                WHERE split_part(entry, ''|'', 1) = ''%7$s'' AND split_part(entry, ''|'', 4) NOT LIKE ''@%%''))',
            fk.confrelid, CASE WHEN has_copies THEN 'r.id::text, r.xmin_was::text' ELSE 'p.ctid::text, p.xmin::text' END,
            pg_toast.dsql_copied(fk.confrelid, has_copies)::regclass,
            CASE WHEN has_copies THEN format('JOIN pg_temp.dsql_local_rows r ON r.copy = %s AND r.copy_id = p.ctid',
                    pg_toast.dsql_copied(fk.confrelid, true))
                -- Not a version that the transaction wrote.
                ELSE 'JOIN (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS xmax) s
                    ON p.xmin::text::bigint < s.xmax' END,
            pg_toast.dsql_copied(fk.conrelid, has_copies)::regclass,
            pg_toast.dsql_equal(pg_toast.dsql_column_names(fk.conrelid, fk.conkey), 'c',
                pg_toast.dsql_column_names(fk.confrelid, fk.confkey), 'p'),
            pg_toast.dsql_copied(fk.conrelid, has_copies)) USING entries;
    END LOOP;
END $$;

CREATE FUNCTION pg_toast.dsql_source(relation oid, has_copies boolean) RETURNS oid LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF has_copies THEN
        SELECT c.source INTO relation FROM pg_temp.dsql_local_copies c WHERE c.copy = relation;
    END IF;
    RETURN relation;
END $$;

CREATE FUNCTION pg_toast.dsql_copied(relation oid, has_copies boolean) RETURNS oid LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF has_copies THEN
        SELECT c.copy INTO relation FROM pg_temp.dsql_local_copies c WHERE c.source = relation;
    END IF;
    RETURN relation;
END $$;

-- Returns an expression for the unique keys of a table's row, except those with expressions.
CREATE FUNCTION pg_toast.dsql_keys(relation oid) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(format('array_to_json(ARRAY[%s]::text[])::text', string_agg(key, ', ')), '''[]''')
    FROM (
        SELECT format('CASE WHEN %s THEN %L || (ROW(%s)::text) END',
            string_agg(format('t.%I IS NOT NULL', attname), ' AND '), indexrelid,
            string_agg(format('t.%I', attname), ', ' ORDER BY number)) AS key
        FROM pg_index CROSS JOIN unnest(indkey::int2[]) WITH ORDINALITY AS column_of(attnum, number)
        JOIN pg_attribute ON attrelid = indrelid AND pg_attribute.attnum = column_of.attnum
        WHERE indrelid = relation AND indisunique AND indpred IS NULL AND indexprs IS NULL AND number <= indnkeyatts
        GROUP BY indexrelid
    ) AS keys
$$;

CREATE FUNCTION pg_toast.dsql_columns(relation oid, updated boolean) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    AND NOT (updated AND attidentity = 'a')
$$;

CREATE FUNCTION pg_toast.dsql_equal(columns name[], left_alias text, other name[], right_alias text)
RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT string_agg(format('%s.%I = %s.%I', left_alias, a, right_alias, b), ' AND ')
    FROM unnest(columns, other) AS pair(a, b)
$$;

CREATE FUNCTION pg_toast.dsql_column_names(relation oid, numbers int2[]) RETURNS name[] LANGUAGE sql STABLE AS $$
    SELECT array_agg(attname ORDER BY at) FROM unnest(numbers) WITH ORDINALITY AS key(number, at)
    JOIN pg_attribute ON attrelid = relation AND attnum = number
$$;

-- Applies net changes to the cluster's tables, in a new transaction. A row whose version differs from the one
-- in the snapshot is a conflict. Triggers are off, so foreign keys are checked here.
CREATE FUNCTION pg_toast.dsql_apply_writes(changes text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET session_replication_role = replica SET search_path = pg_catalog
SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET timezone = 'UTC' AS $$
DECLARE
    change jsonb;
    relation oid;
    id tid;
    was xid;
    image text;
    lock_mode text;
    affected bigint;
    key name[];
    written oid[] := '{}';
    removed oid[] := '{}';
    fk pg_constraint;
    child name[];
    parent name[];
    dangling boolean;
BEGIN
    -- Deletions first: another row may take over a unique key.
    FOR change IN
        SELECT value FROM jsonb_array_elements(changes::jsonb) WITH ORDINALITY AS c(value, at)
        ORDER BY value ->> 3 IS NOT NULL, value ->> 1 IS NULL, at
    LOOP
        relation := (change ->> 0)::oid;
        id := (change ->> 1)::tid;
        was := (change ->> 2)::xid;
        image := change ->> 3;
        lock_mode := change ->> 4;
        affected := 1;
        IF lock_mode = '@S' THEN
            SELECT pg_toast.dsql_column_names(conrelid, conkey) INTO key
            FROM pg_constraint WHERE conrelid = relation AND contype = 'p';
            IF FOUND THEN
                EXECUTE format('SELECT FROM %1$s t, (SELECT (%2$L::%1$s).*) AS s WHERE %3$s FOR KEY SHARE OF t',
                    relation::regclass, image, pg_toast.dsql_equal(key, 't', key, 's'));
                GET DIAGNOSTICS affected = ROW_COUNT;
            END IF;
        ELSIF lock_mode IS NOT NULL THEN
            EXECUTE format('SELECT FROM %s WHERE ctid = $1 AND xmin = $2 FOR UPDATE', relation::regclass)
            USING id, was;
            GET DIAGNOSTICS affected = ROW_COUNT;
        ELSIF id IS NULL THEN
            EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM (SELECT (%L::%1$s).*) AS s',
                relation::regclass, pg_toast.dsql_columns(relation, false), image);
            written := written || relation;
        ELSIF image IS NULL THEN
            EXECUTE format('DELETE FROM %s WHERE ctid = $1 AND xmin = $2', relation::regclass) USING id, was;
            GET DIAGNOSTICS affected = ROW_COUNT;
            removed := removed || relation;
        ELSE
            EXECUTE format(
                'UPDATE %s SET (%s) = (SELECT %2$s FROM (SELECT (%L::%1$s).*) AS s) WHERE ctid = $1 AND xmin = $2',
                relation::regclass, pg_toast.dsql_columns(relation, true), image) USING id, was;
            GET DIAGNOSTICS affected = ROW_COUNT;
            written := written || relation;
            removed := removed || relation;
        END IF;
        IF affected = 0 THEN
            RAISE SQLSTATE 'DL001' USING MESSAGE = 'another transaction changed the row';
        END IF;
    END LOOP;
    FOR fk IN
        SELECT * FROM pg_constraint WHERE contype = 'f' AND (conrelid = ANY (written) OR confrelid = ANY (removed))
    LOOP
        child := pg_toast.dsql_column_names(fk.conrelid, fk.conkey);
        parent := pg_toast.dsql_column_names(fk.confrelid, fk.confkey);
        EXECUTE format('SELECT FROM %s p WHERE EXISTS (SELECT FROM %s c WHERE c.xmin = $1 AND %s) FOR KEY SHARE OF p',
            fk.confrelid::regclass, fk.conrelid::regclass, pg_toast.dsql_equal(child, 'c', parent, 'p'))
        USING pg_current_xact_id()::xid;
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %s c WHERE %s AND (%s OR c.xmin = $1)
            AND NOT EXISTS (SELECT FROM %s p WHERE %s))',
            fk.conrelid::regclass,
            (SELECT string_agg(format('c.%I IS NOT NULL', name), ' AND ') FROM unnest(child) AS name),
            fk.convalidated::text, fk.confrelid::regclass, pg_toast.dsql_equal(child, 'c', parent, 'p'))
        INTO dangling USING pg_current_xact_id()::xid;
        IF dangling THEN
            RAISE SQLSTATE 'DL001' USING MESSAGE = 'another transaction changed the other end of a foreign key';
        END IF;
    END LOOP;
END $$;

-- Returns the tables whose names are in a text, and those that foreign keys, views and functions connect.
CREATE FUNCTION pg_toast.dsql_related(mentioned text, written oid[]) RETURNS oid[] LANGUAGE plpgsql STABLE AS $$
DECLARE
    found oid[] := written;
    before oid[];
    texts text := lower(mentioned);
BEGIN
    WHILE found IS DISTINCT FROM before LOOP
        before := found;
        SELECT texts || coalesce(string_agg(lower(prosrc), ' '), '') INTO texts
        FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
        WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'sys', 'pg_toast')
        AND position(lower(proname) IN texts) > 0 AND position(lower(prosrc) IN texts) = 0;
        SELECT texts || coalesce(string_agg(lower(pg_get_viewdef(oid)), ' '), '') INTO texts
        FROM pg_class WHERE relkind = 'v' AND oid = ANY (found) AND position(lower(pg_get_viewdef(oid)) IN texts) = 0;
        SELECT array_agg(class.oid ORDER BY class.oid) INTO found
        FROM pg_class class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind IN ('r', 'v') AND relpersistence = 'p'
        AND nspname NOT IN ('pg_catalog', 'information_schema', 'sys', 'pg_toast')
        AND (class.oid = ANY (found) OR position(lower(relname) IN texts) > 0 OR EXISTS (
            SELECT FROM pg_constraint WHERE contype = 'f'
            AND (conrelid = class.oid AND confrelid = ANY (found) OR confrelid = class.oid AND conrelid = ANY (found))
        ));
        found := coalesce(found, '{}');
    END LOOP;
    RETURN found;
END $$;

CREATE FUNCTION pg_toast.dsql_fill_copy(copy oid, source oid) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET session_replication_role = replica AS $$
BEGIN
    EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM %s ORDER BY ctid',
        copy::regclass, pg_toast.dsql_columns(source, false), source::regclass);
    EXECUTE format(
        'INSERT INTO pg_temp.dsql_local_rows SELECT $1, c.ctid, r.ctid, r.xmin FROM
        (SELECT ctid, row_number() OVER (ORDER BY ctid) AS at FROM %s) c JOIN
        (SELECT ctid, xmin, row_number() OVER (ORDER BY ctid) AS at FROM %s) r USING (at)',
        copy::regclass, source::regclass) USING copy;
END $$;

CREATE FUNCTION pg_toast.dsql_begin_copies() RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET session_replication_role = replica AS $$
BEGIN
    CREATE TEMP TABLE dsql_local_copies (source oid PRIMARY KEY, copy oid UNIQUE) ON COMMIT DROP;
    CREATE TEMP TABLE dsql_local_rows (copy oid, copy_id tid, id tid, xmin_was xid) ON COMMIT DROP;
    CREATE INDEX ON dsql_local_rows (copy, copy_id);
END $$;

-- Copies tables, as the snapshot shows them, to temporary tables that hide them. Returns the names.
CREATE FUNCTION pg_toast.dsql_copy_tables(mentioned text, written oid[])
RETURNS TABLE (schema name, name name, copied name) LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = '1s' AS $$
#variable_conflict use_column
DECLARE
    class record;
    pair record;
    fresh oid[] := '{}';
    new_copy oid;
BEGIN
    IF to_regclass('pg_temp.dsql_local_copies') IS NULL THEN
        PERFORM pg_toast.dsql_begin_copies();
    END IF;
    -- Visibility is checked before the first copy, since a copy hides its table.
    FOR class IN
        SELECT oid, relname, nspname, relkind, relowner, relacl,
            CASE WHEN pg_table_is_visible(oid) THEN relname ELSE 'dsql_local_' || oid END::name AS copied,
            CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) END AS definition
        FROM (
            SELECT pg_class.*, nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE pg_class.oid = ANY (pg_toast.dsql_related(mentioned, written))
            AND NOT EXISTS (SELECT FROM pg_temp.dsql_local_copies c WHERE c.source = pg_class.oid)
            OFFSET 0
        ) AS missing
        ORDER BY relkind, oid
    LOOP
        IF class.relkind = 'v' THEN
            EXECUTE format('CREATE TEMP VIEW %I AS %s', class.copied, class.definition);
            new_copy := format('pg_temp.%I', class.copied)::regclass;
        ELSE
            EXECUTE format(
                'CREATE TEMP TABLE %I (LIKE %I.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED
                INCLUDING INDEXES) ON COMMIT DROP', class.copied, class.nspname, class.relname);
            new_copy := format('pg_temp.%I', class.copied)::regclass;
            FOR pair IN
                SELECT attname, pg_get_serial_sequence(format('%I.%I', class.nspname, class.relname), attname) AS sequence
                FROM pg_attribute WHERE attrelid = class.oid AND attidentity <> ''
            LOOP
                EXECUTE format('ALTER TABLE pg_temp.%I ALTER %I SET DEFAULT nextval(%L)',
                    class.copied, pair.attname, pair.sequence);
            END LOOP;
            FOR pair IN
                WITH index AS (
                    SELECT indrelid, relname, indkey::text, indisprimary, indisunique,
                        row_number() OVER (PARTITION BY indrelid, indkey::text, indisprimary, indisunique
                            ORDER BY indexrelid) AS at
                    FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indrelid IN (class.oid, new_copy)
                )
                SELECT copy.relname AS copied, original.relname AS original FROM index copy
                JOIN index original USING (indkey, indisprimary, indisunique, at)
                WHERE copy.indrelid = new_copy AND original.indrelid = class.oid AND copy.relname <> original.relname
            LOOP
                EXECUTE format('ALTER INDEX pg_temp.%I RENAME TO %I', pair.copied, pair.original);
            END LOOP;
            PERFORM pg_toast.dsql_fill_copy(new_copy, class.oid);
            fresh := fresh || class.oid;
        END IF;
        INSERT INTO pg_temp.dsql_local_copies VALUES (class.oid, new_copy);
        UPDATE pg_class SET relowner = class.relowner, relacl = class.relacl WHERE oid = new_copy;
        schema := class.nspname;
        name := class.relname;
        copied := class.copied;
        RETURN NEXT;
    END LOOP;
    FOR pair IN
        SELECT conname, pg_get_constraintdef(pg_constraint.oid) AS definition,
            child.copy::regclass AS child, parent.copy::regclass AS parent
        FROM pg_constraint JOIN pg_temp.dsql_local_copies child ON child.source = conrelid
        JOIN pg_temp.dsql_local_copies parent ON parent.source = confrelid
        WHERE contype = 'f' AND conrelid = ANY (fresh)
    LOOP
        EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s NOT VALID', pair.child, pair.conname,
            regexp_replace(replace(pair.definition, ' NOT VALID', ''), 'REFERENCES [^(]+\(',
                format('REFERENCES %s(', pair.parent)));
    END LOOP;
END $$;

-- Applies net changes to the copies, and adds them to the log again.
CREATE FUNCTION pg_toast.dsql_apply_to_copies(changes text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET session_replication_role = replica SET lock_timeout = '1s'
SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET extra_float_digits = 1 SET timezone = 'UTC' AS $$
DECLARE
    change jsonb;
    target oid;
    original tid;
    was xid;
    image text;
    moved tid;
    size int;
BEGIN
    FOR change IN
        SELECT value FROM jsonb_array_elements(changes::jsonb) WITH ORDINALITY AS c(value, at)
        ORDER BY value ->> 3 IS NOT NULL, value ->> 1 IS NULL, at
    LOOP
        SELECT copy INTO target FROM pg_temp.dsql_local_copies WHERE source = (change ->> 0)::oid;
        SELECT copy_id INTO original FROM pg_temp.dsql_local_rows
        WHERE copy = target AND id = (change ->> 1)::tid;
        EXECUTE format('SELECT xmin FROM %s WHERE ctid = $1', target::regclass) INTO was USING original;
        image := change ->> 3;
        moved := NULL;
        size := 0;
        IF change ->> 4 IS NOT NULL THEN
            PERFORM pg_toast.dsql_note(concat(target, '|', original, '|', was, '|', change ->> 4, ';'));
            CONTINUE;
        ELSIF original IS NULL THEN
            EXECUTE format('INSERT INTO %s AS t (%s) OVERRIDING SYSTEM VALUE
                SELECT %2$s FROM (SELECT (%L::%1$s).*) AS s RETURNING t.ctid, pg_column_size(t)',
                target::regclass, pg_toast.dsql_columns(target, false), image) INTO moved, size;
        ELSIF image IS NULL THEN
            EXECUTE format('DELETE FROM %s WHERE ctid = $1', target::regclass) USING original;
        ELSE
            EXECUTE format('UPDATE %s AS t SET (%s) = (SELECT %2$s FROM (SELECT (%L::%1$s).*) AS s)
                WHERE ctid = $1 RETURNING t.ctid, pg_column_size(t)',
                target::regclass, pg_toast.dsql_columns(target, false), image) INTO moved, size USING original;
        END IF;
        PERFORM pg_toast.dsql_count_row(target, original, was, moved, size, 0);
    END LOOP;
END $$;

CREATE TABLE pg_toast.dsql_conflicted ();

CREATE FUNCTION pg_toast.dsql_refuse_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE serialization_failure;
END $$;

CREATE CONSTRAINT TRIGGER conflicted AFTER INSERT ON pg_toast.dsql_conflicted
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_toast.dsql_refuse_commit();

-- Makes the transaction's COMMIT fail.
CREATE FUNCTION pg_toast.dsql_fail_commit() RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    INSERT INTO pg_toast.dsql_conflicted DEFAULT VALUES
$$;

CREATE FUNCTION pg_toast.dsql_changes_key(relation oid, before text, after text) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    key name[];
    changes boolean;
BEGIN
    SELECT pg_toast.dsql_column_names(conrelid, conkey) INTO key
    FROM pg_constraint WHERE conrelid = relation AND contype = 'p';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    EXECUTE format('SELECT NOT (%s) FROM (SELECT (%L::%s).*) AS b, (SELECT (%L::%3$s).*) AS a',
        pg_toast.dsql_equal(key, 'b', key, 'a'), before, relation::regclass, after) INTO changes;
    RETURN changes;
END $$;

-- Hides the trigger from users.
DELETE FROM pg_depend USING pg_trigger
WHERE tgname = 'conflicted' AND 'pg_constraint'::regclass IN (classid, refclassid) AND tgconstraint IN (objid, refobjid);

DELETE FROM pg_constraint USING pg_trigger WHERE tgname = 'conflicted' AND pg_constraint.oid = tgconstraint;

UPDATE pg_trigger SET tgisinternal = true, tgconstraint = 0 WHERE tgname = 'conflicted';

-- Returns whether the transaction sees a violation: two rows with the same unique key, or a row whose foreign key
-- refers to no row. The engine checks keys against the latest commits, not against the snapshot.
CREATE FUNCTION pg_toast.dsql_sees_violation() RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET lock_timeout = '1s' SET search_path = pg_catalog AS $$
DECLARE
    entries text[] := string_to_array(rtrim(pg_toast.dsql_written(), ';'), ';');
    checked record;
    found boolean;
BEGIN
    FOR checked IN
        SELECT indrelid, pg_toast.dsql_column_names(indrelid, (indkey::int2[])[0:indnkeyatts - 1]) AS key,
            array_agg(split_part(entry, '|', 4)) FILTER (WHERE split_part(entry, '|', 4) NOT LIKE '@%') AS ids
        FROM unnest(entries) AS entry JOIN pg_index ON indrelid = split_part(entry, '|', 1)::oid
        WHERE indisunique AND indpred IS NULL AND indexprs IS NULL
        GROUP BY indexrelid
    LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %1$s n JOIN %1$s o ON %2$s AND o.ctid <> n.ctid
            WHERE n.ctid = ANY (array_remove($1, '''')::tid[]))',
            checked.indrelid::regclass, pg_toast.dsql_equal(checked.key, 'o', checked.key, 'n'))
        INTO found USING checked.ids;
        IF found THEN
            RETURN true;
        END IF;
    END LOOP;
    FOR checked IN
        SELECT conrelid, confrelid, pg_toast.dsql_column_names(conrelid, conkey) AS child,
            pg_toast.dsql_column_names(confrelid, confkey) AS parent
        FROM pg_constraint WHERE contype = 'f' AND convalidated AND confrelid IN (
            SELECT split_part(entry, '|', 1)::oid FROM unnest(entries) AS entry WHERE split_part(entry, '|', 2) <> ''
            AND split_part(entry, '|', 4) NOT LIKE '@%')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s))',
            checked.conrelid::regclass,
            (SELECT string_agg(format('c.%I IS NOT NULL', name), ' AND ') FROM unnest(checked.child) AS name),
            checked.confrelid::regclass, pg_toast.dsql_equal(checked.child, 'c', checked.parent, 'p'))
        INTO found;
        IF found THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
