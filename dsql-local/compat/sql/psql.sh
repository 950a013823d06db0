#!/bin/sh
# psql: a table, a row, an index, the catalogs, and the service's error for an unsupported statement.
set -eu
psql="psql -XAtq -v ON_ERROR_STOP=1"
$psql -c 'CREATE TABLE notes (id int PRIMARY KEY, note text)' -c "INSERT INTO notes VALUES (1, 'first')"
test "$($psql -c 'SELECT note FROM notes')" = first
$psql -c 'CREATE INDEX ASYNC ON notes (note)' >/dev/null
psql -XAq -c '\d notes' | grep -q btree_index
psql -XAtq -c '\l' | grep -q '^postgres|admin'
test "$($psql -c '\dn' | cut -d'|' -f1 | tr '\n' ' ')" = 'public sys '
refused=$($psql -c 'TRUNCATE notes' 2>&1) && exit 1
test "$refused" = 'ERROR:  unsupported statement: Truncate'
