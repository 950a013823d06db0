#!/usr/bin/env bash
# Deploys the templates to moto, a fake control plane, and checks the resolved values.
set -euo pipefail
cd "$(dirname "$0")/.."

templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
node --import tsx test/support/write-templates.ts "$templates"

# The variant with moto's account. moto reads the package name of a model, so the models are in a package.
TEMPLATES=$templates/account PYTHONPATH=test PYTHONDONTWRITEBYTECODE=1 \
    scripts/python.sh test/wiring/requirements.txt python -W ignore -m unittest wiring.test_wiring "$@"
