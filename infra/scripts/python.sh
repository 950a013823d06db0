#!/usr/bin/env bash
# Runs a program of a requirements file in its own virtual environment, which is created once:
#   scripts/python.sh requirements.txt program arguments..
set -euo pipefail
requirements=$1 program=$2
shift 2

venv=node_modules/.cache/$(basename "$requirements" .txt)-$(cksum <"$requirements" | cut -d ' ' -f 1)
if [[ ! -e $venv/complete ]]; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$requirements"
    touch "$venv/complete"
fi
exec "$venv/bin/$program" "$@"
