#!/usr/bin/env bash
# Looks for faults in every policy of the templates, of every variant and of those that a human deploys.
set -euo pipefail
cd "$(dirname "$0")/.."

templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
node --import tsx test/support/write-templates.ts "$templates"

# Each folder by itself: the stacks of a variant import from each other.
for folder in "$templates"/*/; do
    scripts/python.sh scripts/requirements-policies.txt python scripts/policies.py "$folder"*.template.json
done
