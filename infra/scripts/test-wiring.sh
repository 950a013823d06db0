#!/usr/bin/env bash
# Deploys the templates to moto, a fake control plane, and checks what the values resolve to.
set -euo pipefail
cd "$(dirname "$0")/.."

templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
node --import tsx test/support/write-templates.ts "$templates"

# The variant whose account is moto's. moto reads the name of a model's package, so that there is one.
TEMPLATES=$templates/account PYTHONPATH=test PYTHONDONTWRITEBYTECODE=1 \
    scripts/python.sh test/wiring/requirements.txt python -W ignore -m unittest wiring.test_wiring "$@"
