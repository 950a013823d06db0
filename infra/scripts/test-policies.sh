#!/usr/bin/env bash
# Runs parliament on every policy, of the templates of every variant and of those that are deployed by hand.
set -euo pipefail
cd "$(dirname "$0")/.."

templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
node --import tsx test/support/write-templates.ts "$templates"

# One run per folder: the stacks of a variant import from each other.
for folder in "$templates"/*/; do
    scripts/python.sh scripts/requirements-policies.txt python scripts/policies.py "$folder"*.template.json
done
