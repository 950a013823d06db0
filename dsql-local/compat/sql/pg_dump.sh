#!/bin/sh
# pg_dump: the service refuses a setting that it makes first, and so does the cluster, with the same error.
set -eu
refused=$(pg_dump -s 2>&1) && exit 1
echo "$refused" | grep -q 'setting configuration parameter "synchronize_seqscans" not supported'
