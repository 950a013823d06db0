#!/usr/bin/env bash
# Runs cfn-lint and checkov on the templates of every variant, and on those that a human deploys.
set -euo pipefail
cd "$(dirname "$0")/.."

templates=$(mktemp -d)
trap 'rm -rf "$templates"' EXIT
node --import tsx test/support/write-templates.ts "$templates"

# W3005: CDK writes a DependsOn also where a reference says the same.
scripts/python.sh scripts/requirements-lint.txt cfn-lint --ignore-checks W3005 -- "$templates"/*/*.template.json ./*.yaml
echo "cfn-lint: $(ls "$templates"/*/*.template.json ./*.yaml | wc -l) templates are clean"

# What does not apply is acknowledged beside its resource, in its metadata.
cp ./*.yaml "$templates"
scripts/python.sh scripts/requirements-checkov.txt checkov --directory "$templates" --framework cloudformation \
    --skip-download --compact --quiet
echo 'checkov: no finding that is not acknowledged'
